"""The parts of the controls of a document: controls, cards and groups. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from config_schema.errors import SettingPath, format_pointer
from config_schema.kinds import ValueKind
from config_schema.settings import Setting
from connectors.settings.body_template import Body
from console.document_forms.control_families import Family
from console.document_forms.control_texts import Rows, show_text

# The step that stands for the settings of an object which are not shown at first.
MORE = "?more"


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
