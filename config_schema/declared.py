"""Classes whose fields are settings: one declaration is read, checked, explained and written back. Pure.

class Paging(Declared):
    size: int = setting(WholeNumber(1, 1000), "The number of items of one page.", default=100, example=50)

page = Paging.kind.read({"size": 20}, ())
page.to_json()  # {"size": 20}
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from inspect import get_annotations
from typing import Any, ClassVar, Self, dataclass_transform

from config_schema.errors import SettingPath
from config_schema.kinds import ValueKind
from config_schema.objects import Object, Variant
from config_schema.rules import Rule
from config_schema.settings import Setting, SettingValues

_SETTING = "setting"


def setting(
    kind: ValueKind[Any],
    meaning: str,
    *,
    example: Any,
    name: str = "",
    default: Any = MISSING,
    is_nullable: bool = False,
    absent: Any = None,
) -> Any:
    """Declare a setting. Without a default it is required; a default of None makes it optional: then the field is
    `absent` without it. `name`: in a document, if it is not the name of the field.
    """
    described: Setting[Any] = Setting(
        name=name,
        kind=kind,
        meaning=meaning,
        example=example,
        is_required=default is MISSING,
        is_optional=default is None,
        is_nullable=is_nullable,
        default=None if default is MISSING else default,
        absent=absent,
    )
    return field(metadata={_SETTING: described})


def nullable(kind: ValueKind[Any], meaning: str, *, example: Any, name: str = "", absent: Any = None) -> Any:
    """Declare a setting that may be left out, or null: the field is `absent` then."""
    return setting(kind, meaning, example=example, name=name, default=None, is_nullable=True, absent=absent)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(setting, nullable))
class Declared:
    """Base of classes whose fields are settings. A subclass is a frozen dataclass, whose `kind` reads an object into an
    instance. `rules` are about several of its settings; `hints` are errors for unknown fields that belong elsewhere.
    Settings of its own come before those of its bases. `selector`: of a variant, the field by whose setting it is
    chosen.
    """

    kind: ClassVar[Object[Self]]
    settings: ClassVar[Mapping[str, Setting[Any]]]
    rules: ClassVar[tuple[Rule, ...]] = ()
    hints: ClassVar[Mapping[str, str]] = {}
    selector: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)
        cls.settings = dict(sorted(_named_settings(cls), key=lambda item: _distance(cls, item[0])))
        cls.kind = Object(tuple(cls.settings.values()), cls._make, cls.rules, cls.hints)  # type: ignore[arg-type]

    @classmethod
    def _make(cls, values: SettingValues) -> Self:
        return cls(**{name: values[one] for name, one in cls.settings.items()})

    @classmethod
    def variant(cls, meaning: str, example: Mapping[str, Any]) -> Variant:
        """Return the class as one variant of a VariantObject."""
        own = tuple(one for name, one in cls.settings.items() if name != cls.selector)
        return Variant(meaning, example, own, cls.rules, cls._make)

    def to_json(self) -> dict[str, Any]:
        """Return a document that is read as an equal instance: the settings that differ from their defaults."""
        written: dict[str, Any] = {}
        for name, one in self.settings.items():
            value = getattr(self, name)
            if one.is_required or value != one.read({}, _NOWHERE):
                written[one.name] = one.to_json(value)
        return written


_NOWHERE: SettingPath = ()


def _named_settings(cls: type) -> Iterator[tuple[str, Setting[Any]]]:
    """Yield the settings of a class by the names of their fields. One without a name has that of its field."""
    for declared in fields(cls):
        described: Setting[Any] | None = declared.metadata.get(_SETTING)
        if described is not None:
            if not described.name:
                # The name of the field is known only when the class is made.
                object.__setattr__(described, "name", declared.name)
            yield declared.name, described


def _distance(cls: type, name: str) -> int:
    """Return how many classes lie between a class and the one that declares a field."""
    return next(i for i, base in enumerate(cls.__mro__) if name in get_annotations(base))
