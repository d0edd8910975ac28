"""The controls that edit a document, as a tree made from its kind, its values and the cards that are open. Pure."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from config_schema.errors import SettingPath, format_pointer
from config_schema.kinds import ValueKind
from config_schema.objects import ListOf, MapOf, Object, OneOrMore, VariantObject
from config_schema.settings import Setting
from connectors.settings.body_template import Body
from console.document_forms.control_families import Family, family_of
from console.document_forms.control_texts import Rows, is_constant, show_rows, show_text

# The step that stands for the settings of an object which are not shown at first.
MORE = "?more"
# An object with fewer optional settings than this shows all of them at once.
_FEW_SETTINGS = 4


@dataclass(frozen=True)
class Problem:
    """What was entered in a control cannot be part of the document. `text` or `rows`: as it was entered."""

    sentence: str
    text: str = ""
    rows: Rows = ()


@dataclass(frozen=True, kw_only=True)
class Control:
    """A control for one value: a text, a number, a choice, lines, rows of names and values, or JSON.

    `setting` is None for a value that has no name of its own. `is_stated`: the document has the value. `problem`: what
    was entered and is not in the document. `is_null`: the value is null, which is not the same as its absence.
    `meanings`: of choices, by choice.
    """

    place: SettingPath
    kind: ValueKind[Any]
    family: Family
    setting: Setting[Any] | None = None
    text: str = ""
    rows: Rows = ()
    is_stated: bool = False
    is_null: bool = False
    is_constant: bool = False
    meanings: Mapping[str, str] = field(default_factory=dict)
    problem: Problem | None = None

    template = "console/document_forms/_control.html"

    @property
    def pointer(self) -> str:
        return format_pointer(self.place)

    @property
    def may_be_null(self) -> bool:
        """True if null is a value of its own: the setting has a default that holds if it is absent."""
        return self.setting is not None and self.setting.is_nullable and self.setting.default is not None

    @property
    def has_json_box(self) -> bool:
        """True if rows do not suffice for every value: without any, a box beside them takes JSON."""
        return isinstance(self.kind, Body) and self.family is Family.ROWS and not self.rows

    @property
    def is_required(self) -> bool:
        return self.setting is not None and self.setting.is_required

    @property
    def options(self) -> tuple[tuple[str, bool, str], ...]:
        """Return the choices, each with whether it is shown as chosen, and its meaning if that is known. An empty one
        is there while nothing is chosen, or if nothing may be.
        """
        may_be_empty = not self.text or not (self.is_required or self.default_text)
        names = (*(("",) if may_be_empty else ()), *self._choices)
        names = names if self.text in names else (*names, self.text)
        return tuple((name, name == self.text, self.meanings.get(name, "")) for name in names)

    @property
    def shown_rows(self) -> Rows:
        """Return the rows of the page: what was entered, and an empty one for another."""
        return (*(self.problem.rows if self.problem else self.rows), ("", ""))

    @property
    def _choices(self) -> tuple[str, ...]:
        return tuple(map(str, self.kind.choices)) if self.family is Family.CHOICE else ("on", "off")

    @property
    def default_text(self) -> str:
        """Return the text of the default; "" if there is none."""
        if self.setting is None or self.setting.default in (None, {}, [], ""):
            return ""
        return show_text(self.family, self.kind, self.setting.default) or ""


@dataclass(frozen=True, kw_only=True)
class Card:
    """An object inside the document. Only an open one has a `content`; `value` is what it is about.

    `key`: its name in a map. `number`: its place in a list, from 1. `is_shown`: its type is right.
    """

    place: SettingPath
    kind: ValueKind[Any]
    value: Any
    key: str = ""
    number: int = 0
    may_move_up: bool = False
    may_move_down: bool = False
    may_be_removed: bool = True
    is_shown: bool = True
    content: "Part | None" = None

    @property
    def pointer(self) -> str:
        return format_pointer(self.place)


@dataclass(frozen=True, kw_only=True)
class CardList:
    """The objects at one place: those of a list or of a map, or the only one of a setting that is an object."""

    place: SettingPath
    kind: ValueKind[Any]
    setting: Setting[Any] | None
    cards: tuple[Card, ...]
    may_be_added: bool
    problem: Problem | None = None

    template = "console/document_forms/_cards.html"

    @property
    def pointer(self) -> str:
        return format_pointer(self.place)

    @property
    def is_required(self) -> bool:
        return self.setting is not None and self.setting.is_required


@dataclass(frozen=True, kw_only=True)
class Group:
    """The settings of one object: required ones, those that the document states, and the others, in this order. The
    others are not shown at first; `folded` are their names then.

    `selector` chooses the variant, if there are several. `unshown`: names of fields that have no control, because they
    are unknown or their values are of another type. `setting`: that the object is the value of, if any.
    """

    place: SettingPath
    kind: ValueKind[Any]
    setting: Setting[Any] | None = None
    selector: Control | None = None
    required: tuple["Part", ...] = ()
    stated: tuple["Part", ...] = ()
    others: tuple["Part", ...] = ()
    folded: tuple[str, ...] = ()
    unshown: tuple[str, ...] = ()

    template = "console/document_forms/_group.html"

    @property
    def pointer(self) -> str:
        return format_pointer(self.place)

    @property
    def more(self) -> str:
        """Return the pointer by which the other settings are opened and closed."""
        return format_pointer((*self.place, MORE))

    @property
    def parts(self) -> "tuple[Part, ...]":
        """Return what the group consists of, in the order in which it is shown."""
        selector: tuple[Part, ...] = (self.selector,) if self.selector else ()
        return (*selector, *self.required, *self.stated, *self.others)


Part = Control | CardList | Group


@dataclass(frozen=True)
class TreeBuilder:
    """Builds the controls of a document. `opened`: the pointers of open cards. `problems`: by pointer."""

    document: Any
    opened: Collection[str] = frozenset()
    problems: Mapping[str, Problem] = field(default_factory=dict)

    def build(self, kind: ValueKind[Any]) -> Part | None:
        """Return the controls of the whole document. None if it is not of the type of its kind at all."""
        return self._build_content(kind, self.document, (), None, is_stated=True)

    def _build_content(
        self,
        kind: ValueKind[Any],
        value: Any,
        place: SettingPath,
        setting: Setting[Any] | None,
        is_stated: bool,
    ) -> Part | None:
        """Return the controls of a value; None if its type is wrong."""
        family = family_of(kind)
        if family is Family.GROUP:
            return self._build_group(kind, value, place, setting) if isinstance(value, Mapping) else None
        if family in (Family.LIST, Family.MAP):
            return self._build_cards(kind, value, place, setting)
        return self._build_control(kind, value, place, setting, is_stated)

    def _build_group(
        self,
        kind: ValueKind[Any],
        document: Mapping[str, Any],
        place: SettingPath,
        setting: Setting[Any] | None,
    ) -> Group:
        selector: Part | None = None
        settings: tuple[Setting[Any], ...] = ()
        if isinstance(kind, Object):
            settings = kind.settings
        elif isinstance(kind, VariantObject):
            selector = self._build_setting(kind.selector, document, place)
            chosen = document.get(kind.selector.name, kind.selector.default)
            settings = (
                kind.variants[chosen].settings if isinstance(chosen, str) and chosen in kind.variants else ()
            )
        parts = {one.name: self._build_setting(one, document, place) for one in settings}
        by_name = {one.name: one for one in settings}
        shown = [(by_name[name], part) for name, part in parts.items() if part is not None]
        unshown = [
            name
            for name in document
            if parts.get(name) is None
            and not (isinstance(kind, VariantObject) and name == kind.selector.name)
        ]
        required = tuple(part for one, part in shown if one.is_required)
        optional = [(one, part) for one, part in shown if not one.is_required]
        stated = tuple(
            part for one, part in optional if one.name in document or len(optional) < _FEW_SETTINGS
        )
        others = [(one, part) for one, part in optional if part not in stated]
        is_folded = bool(others) and format_pointer((*place, MORE)) not in self.opened
        return Group(
            place=place,
            kind=kind,
            setting=setting,
            selector=_explain_variants(selector, kind),
            required=required,
            stated=stated,
            others=() if is_folded else tuple(part for _one, part in others),
            folded=tuple(one.name for one, _part in others) if is_folded else (),
            unshown=tuple(unshown),
        )

    def _build_setting(
        self, setting: Setting[Any], document: Mapping[str, Any], place: SettingPath
    ) -> Part | None:
        """Return the controls of one setting of an object; None if its value has another type."""
        own, kind = (*place, setting.name), setting.kind
        is_stated = setting.name in document
        value = document.get(setting.name)
        if is_stated and value is None and setting.is_nullable:
            value, is_null = None, True
        else:
            is_null = False
        if family_of(kind) is not Family.GROUP:
            if not is_stated or is_null:
                return self._build_absent(setting, own, is_null)
            return self._build_content(kind, value, own, setting, is_stated=True)
        if is_group_of_objects(kind) and (setting.is_required or (is_stated and not is_null)):
            return self._build_content(kind, value if is_stated else {}, own, setting, is_stated)
        cards: tuple[Card, ...] = ()
        if is_stated and not is_null:
            if not isinstance(value, Mapping):
                return None
            cards = (self._build_card(kind, value, own, may_be_removed=not setting.is_required),)
        problem = self.problems.get(format_pointer(own))
        return CardList(
            place=own, kind=kind, setting=setting, cards=cards, may_be_added=not cards, problem=problem
        )

    def _build_absent(self, setting: Setting[Any], place: SettingPath, is_null: bool) -> Part:
        """Return the empty control of a setting that is absent or null."""
        family, problem = family_of(setting.kind), self.problems.get(format_pointer(place))
        if family in (Family.LIST, Family.MAP):
            return CardList(
                place=place, kind=setting.kind, setting=setting, cards=(), may_be_added=True, problem=problem
            )
        default = setting.default
        is_preset = family in (Family.SWITCH, Family.CHOICE) and default is not None and not is_null
        return Control(
            place=place,
            kind=setting.kind,
            family=family,
            setting=setting,
            # A switch and a choice cannot look empty: they show their default.
            text=(show_text(family, setting.kind, default) or "") if is_preset else "",
            is_stated=is_null,
            is_null=is_null,
            problem=problem,
        )

    def _build_cards(
        self, kind: ValueKind[Any], value: Any, place: SettingPath, setting: Setting[Any] | None
    ) -> Part | None:
        cards: list[Card] = []
        if isinstance(kind, MapOf) and isinstance(value, Mapping):
            cards = [
                self._build_card(kind.values, item, (*place, name), key=name) for name, item in value.items()
            ]
        elif isinstance(kind, OneOrMore) and isinstance(value, Mapping):
            cards = [self._build_card(kind.items, value, place)]
        elif isinstance(kind, ListOf) and isinstance(value, list):
            cards = [
                self._build_card(
                    kind.items,
                    item,
                    (*place, index),
                    number=index + 1,
                    may_move_up=index > 0,
                    may_move_down=index + 1 < len(value),
                )
                for index, item in enumerate(value)
            ]
        else:
            return None
        most = kind.most if isinstance(kind, MapOf | ListOf) else None
        return CardList(
            place=place,
            kind=kind,
            setting=setting,
            cards=tuple(cards),
            may_be_added=most is None or len(cards) < most,
            problem=self.problems.get(format_pointer(place)),
        )

    def _build_card(self, kind: ValueKind[Any], value: Any, place: SettingPath, **facts: Any) -> Card:
        # An open card without controls has the wrong type, and so has a closed one: it is built to find out.
        content = self._build_content(kind, value, place, None, is_stated=True)
        is_open = format_pointer(place) in self.opened
        return Card(
            place=place,
            kind=kind,
            value=value,
            is_shown=content is not None,
            content=content if is_open else None,
            **facts,
        )

    def _build_control(
        self,
        kind: ValueKind[Any],
        value: Any,
        place: SettingPath,
        setting: Setting[Any] | None,
        is_stated: bool,
    ) -> Control | None:
        family = family_of(kind)
        text: str | None = ""
        rows: Rows | None = ()
        if family is Family.ROWS:
            rows = show_rows(kind, value)
        else:
            text = show_text(family, kind, value)
        if text is None and family in (Family.TEXT, Family.EXPRESSION) and isinstance(value, str):
            family, text = Family.LONG_TEXT, value
        elif (text is None or rows is None) and isinstance(value, list | Mapping) and _is_structure(family):
            # It has texts of several lines, or values of another type: as JSON all of it can be shown.
            family, text, rows = Family.JSON, show_text(Family.JSON, kind, value), ()
        if text is None or rows is None:
            return None
        return Control(
            place=place,
            kind=kind,
            family=family,
            setting=setting,
            text=text,
            rows=rows,
            is_stated=is_stated,
            is_constant=family is Family.CONSTANT and is_constant(value),
            problem=self.problems.get(format_pointer(place)),
        )


def _explain_variants(selector: Part | None, kind: ValueKind[Any]) -> Control | None:
    if not isinstance(selector, Control) or not isinstance(kind, VariantObject):
        return None
    return replace(selector, meanings={name: one.meaning for name, one in kind.variants.items()})


def _is_structure(family: Family) -> bool:
    return family in (Family.LINES, Family.ROWS, Family.CONSTANT)


def is_group_of_objects(kind: ValueKind[Any]) -> bool:
    """Return True if an object has no settings but other objects, so that a card around it would be empty."""
    return isinstance(kind, Object) and all(
        family_of(one.kind) in (Family.GROUP, Family.LIST, Family.MAP) for one in kind.settings
    )


def iterate_controls(part: Part | None) -> Iterator[Control]:
    """Yield every control that is shown, in the order of the page."""
    for one in iterate_parts(part):
        if isinstance(one, Control):
            yield one


def iterate_parts(part: Part | None) -> Iterator[Part]:
    """Yield every part that is shown, a group or a list before what it contains."""
    if part is None:
        return
    yield part
    inner: list[Part | None] = []
    if isinstance(part, Group):
        inner = list(part.parts)
    elif isinstance(part, CardList):
        inner = [card.content for card in part.cards]
    for one in inner:
        yield from iterate_parts(one)


def card_pointers(part: Part | None) -> Iterator[str]:
    """Yield the pointers of all cards, and of settings that are not shown at first."""
    for one in iterate_parts(part):
        if isinstance(one, CardList):
            yield from (card.pointer for card in one.cards if card.is_shown)
        elif isinstance(one, Group) and one.folded:
            yield one.more
