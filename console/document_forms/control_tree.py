"""The controls that edit a document, as a tree made from its kind, its values and the cards that are open. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from config_schema.errors import SettingPath, format_pointer
from config_schema.kinds import ValueKind
from config_schema.objects import ListOf, MapOf, Object, OneOrMore, VariantObject
from config_schema.settings import Setting
from console.document_forms.control_families import Family, family_of
from console.document_forms.control_parts import MORE, Card, CardList, Control, Group, Part, Problem
from console.document_forms.control_texts import Rows, is_constant, show_rows, show_text

# An object with fewer optional settings than this shows all of them at once.
_FEW_SETTINGS = 4


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
