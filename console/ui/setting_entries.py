"""Entries of the reference and of the forms: one for each setting, made from its description, in the language of the
reader.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.text import capfirst

from config_schema.kinds import Kind
from config_schema.model_fields import FieldSetting
from config_schema.objects import ListOf, MapOf, Object, Rule, VariantObject
from config_schema.settings import Setting
from config_schema.translatable import join_texts, translatable
from console.ui.translation import translate_text


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting. `label`: its name in the form, if it has a form field of its own. `default` and `example` are JSON
    values. `choices`: the only values, with what they mean. `section`: the place of the section that describes its
    parts, and `page` the name of the page that does.
    """

    name: str
    kind: str
    meaning: str
    example: Any
    label: str = ""
    is_required: bool = False
    default: Any = None
    limits: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    rules: tuple[str, ...] = ()
    section: str = ""
    page: str = ""

    @property
    def summary(self) -> str:
        """Return the first sentence of the meaning."""
        first, stop, _rest = self.meaning.partition(". ")
        return first + stop.rstrip()


@dataclass(frozen=True, slots=True)
class Section:
    """The settings of one object. `place`: its path in the document, empty for the whole; `example`: a whole object."""

    place: str
    meaning: str
    entries: tuple[Entry, ...]
    rules: tuple[str, ...] = ()
    example: Any = None
    title: str = ""


@dataclass(frozen=True, slots=True)
class FieldList:
    """The fields of a document, for the form that asks for it. `page`: the page of the reference that has all of them,
    and `anchor` the place on it.

    `variants`: the sections that depend on a choice, by its value. The choice is the value of the form field `control`,
    or if that holds JSON, that of its field `key`, which is `default` if it is missing. `chosen`: the value of the
    choice when the page is made, empty if no variant has it. `pages`: pages of variants that have one of their own.
    """

    page: str
    anchor: str = ""
    sections: tuple[Section, ...] = ()
    variants: Mapping[str, tuple[Section, ...]] = field(default_factory=dict)
    control: str = ""
    key: str = ""
    default: str = ""
    chosen: str = ""
    pages: Mapping[str, str] = field(default_factory=dict)

    def choose(self, value: Any) -> "FieldList":
        """Return the list with this value of the control as its choice."""
        if self.key:
            value = value.get(self.key, self.default) if isinstance(value, Mapping) else None
        is_known = isinstance(value, str) and value in self.variants
        return replace(self, chosen=value if is_known else "")

    def variant_lists(self) -> Iterator[tuple[str, tuple[Section, ...], str]]:
        """Yield the name, the sections and the page of each variant."""
        for name, sections in self.variants.items():
            yield name, sections, self.pages.get(name, self.page)


def describe_object(kind: Object[Any], meaning: str, place: str = "") -> Iterator[Section]:
    """Yield the section of an object and those of the objects in it, outermost first."""
    yield Section(place, translate_text(meaning), _entries(kind.settings, place), _sentences(kind.rules))
    yield from _describe_parts(kind.settings, place)


def describe_variants(kind: VariantObject[Any]) -> Iterator[Section]:
    """Yield the section of the selector, then one for each of its values, followed by those of the objects in it."""
    yield Section("", "", _entries((kind.selector,), ""))
    for name, variant in kind.variants.items():
        entries = _entries(variant.settings, "")
        meaning = translate_text(variant.meaning)
        yield Section("", meaning, entries, _sentences(variant.rules), dict(variant.example), name)
        yield from _describe_parts(variant.settings, "")


def group_variants(sections: Iterable[Section]) -> tuple[tuple[Section, ...], dict[str, tuple[Section, ...]]]:
    """Return the sections before the first variant, and those of each variant by its name."""
    common: list[Section] = []
    variants: dict[str, list[Section]] = {}
    current = common
    for section in sections:
        if section.title:
            current = variants.setdefault(section.title, [])
        current.append(section)
    return tuple(common), {name: tuple(found) for name, found in variants.items()}


def describe_fields(
    model: type[models.Model], settings: Mapping[str, FieldSetting], form: Any
) -> tuple[Entry, ...]:
    """Return the entries of the fields of a model, in the order of the model. `form`: the form that has "
    "their labels."""
    labels = {**form.Meta.labels, **{name: own.label for name, own in form.declared_fields.items()}}
    return tuple(_describe_field(field, settings[field.name], labels) for field in setting_fields(model))


def setting_fields(model: type[models.Model]) -> "list[models.Field[Any, Any]]":
    """Return the fields of a model that a person enters."""
    return [
        field
        for field in model._meta.concrete_fields
        if field.editable and not field.primary_key and field.name != "credentials"
    ]


def _describe_field(
    field: "models.Field[Any, Any]", setting: FieldSetting, labels: Mapping[str, Any]
) -> Entry:
    default = _default_of(field)
    return Entry(
        name=field.name,
        kind=translate_text(_name_type(field, setting)),
        meaning=translate_text(setting.meaning),
        example=setting.example,
        label=str(labels.get(field.name) or capfirst(field.verbose_name)),
        is_required=not field.blank and default in (None, {}, []),
        default=default,
        limits=translate_text(_limits_of(field, setting)),
        choices=tuple((str(value), str(label)) for value, label in field.choices or ()),
        rules=tuple(translate_text(rule) for rule in setting.rules),
        page=setting.page,
    )


def _name_type(field: "models.Field[Any, Any]", setting: FieldSetting) -> str:
    if setting.kind is not None:
        return _name_kind(setting.kind)
    names: list[tuple[type[models.Field[Any, Any]], str]] = [
        (
            models.BooleanField,
            translatable("true, false or empty") if field.null else translatable("true or false"),
        ),
        (models.ForeignKey, translatable("choice")),
        (models.JSONField, translatable("object")),
        (models.FloatField, translatable("number")),
        (models.IntegerField, translatable("whole number")),
        (models.SlugField, translatable("slug")),
        (models.URLField, translatable("URL")),
    ]
    return next((name for kind, name in names if isinstance(field, kind)), translatable("text"))


def _default_of(field: "models.Field[Any, Any]") -> Any:
    default = field.get_default() if field.has_default() else None
    # The value of an enumeration, not its member.
    return str(default) if isinstance(default, str) else default


def _limits_of(field: "models.Field[Any, Any]", setting: FieldSetting) -> str:
    if setting.kind is not None:
        return _limits_of_kind(setting.kind)
    # Those of the model alone: the database adds bounds of its own.
    declared = field.deconstruct()[3].get("validators", ())
    bounds = {type(validator): getattr(validator, "limit_value", None) for validator in declared}
    lowest, highest = bounds.get(MinValueValidator), bounds.get(MaxValueValidator)
    if lowest is None and isinstance(field, models.PositiveIntegerField):
        lowest = 0
    parts = [
        str(validator.message).rstrip(".") for validator in declared if isinstance(validator, RegexValidator)
    ]
    if lowest is not None:
        least = translatable("at least %(lowest)s", lowest=f"{lowest:,g}")
        if highest is not None:
            least = translatable(
                "%(lowest)s to %(highest)s", lowest=f"{lowest:,.10g}", highest=f"{highest:,.10g}"
            )
        parts.append(least)
    if isinstance(field, models.SlugField):
        parts.append(translatable("letters, digits, `_` and `-`"))
    if isinstance(field, models.CharField) and not field.choices:
        parts.append(translatable("at most %(most)s characters", most=field.max_length))
    return join_texts("; ", parts)


def _entries(settings: tuple[Setting[Any], ...], place: str) -> tuple[Entry, ...]:
    return tuple(
        Entry(
            name=setting.name,
            kind=translate_text(_name_kind(setting.kind)),
            meaning=translate_text(setting.meaning),
            example=setting.example,
            is_required=setting.is_required,
            default=setting.default,
            limits=translate_text(_limits_of_kind(setting.kind)),
            choices=tuple((choice, "") for choice in setting.kind.choices),
            section=_place_of_part(setting, place) if _inner_object(setting.kind) else "",
        )
        for setting in settings
    )


def _describe_parts(settings: tuple[Setting[Any], ...], place: str) -> Iterator[Section]:
    for setting in settings:
        inner = _inner_object(setting.kind)
        if inner is not None:
            yield from describe_object(inner, setting.meaning, _place_of_part(setting, place))


def _inner_object(kind: Kind[Any]) -> Object[Any] | None:
    """Return the object that a kind is, or is made of."""
    if isinstance(kind, MapOf):
        return _inner_object(kind.values)
    if isinstance(kind, ListOf):
        return _inner_object(kind.items)
    return kind if isinstance(kind, Object) else None


def _place_of_part(setting: Setting[Any], place: str) -> str:
    """Return the path of the object that a setting holds: `entities.TYPE`, `version.stale[]`."""
    own = f"{place}.{setting.name}" if place else setting.name
    kind = setting.kind
    if isinstance(kind, MapOf):
        return f"{own}.{kind.placeholder}"
    return f"{own}[]" if isinstance(kind, ListOf) else own


def _name_kind(kind: Kind[Any]) -> str:
    if isinstance(kind, MapOf) and _inner_object(kind) is None:
        inner = translatable(_name_kind(kind.values))
        return translatable("object: %(name)s → %(kind)s", name=kind.placeholder, kind=inner)
    return kind.label


def _limits_of_kind(kind: Kind[Any]) -> str:
    if isinstance(kind, MapOf) and _inner_object(kind) is None:
        words = ", ".join(f"`{choice}`" for choice in kind.values.choices)
        of_values = translatable("values: %(choices)s", choices=words) if words else kind.values.limits
        return join_texts("; ", (translatable(part) for part in (kind.limits, of_values) if part))
    return kind.limits


def _sentences(rules: tuple[Rule, ...]) -> tuple[str, ...]:
    return tuple(translate_text(rule.sentence) for rule in rules if rule.sentence)
