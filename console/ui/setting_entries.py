"""Entries of the reference and of the forms: one for each setting, made from its description."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from config_schema.kinds import ValueKind
from config_schema.model_fields import FieldSetting
from config_schema.objects import ListOf, MapOf, Object, VariantObject
from config_schema.rules import CodeRule, Rule
from config_schema.settings import Setting


@dataclass(frozen=True, slots=True)
class SettingEntry:
    """A setting as the reference and the forms describe it.

    `label` is its name in the form, if it has its own form field. `default` and `example` are JSON values. `choices`
    are the only accepted values, with their meanings. `section` is the path of the section that describes its parts,
    and `page` the name of the page with that section.
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
    def section_anchor(self) -> str:
        """Return the id of the section's heading on the page of the reference."""
        return heading_id(self.section)

    @property
    def summary(self) -> str:
        """Return the first sentence of the meaning."""
        first, stop, _rest = self.meaning.partition(". ")
        return first + stop.rstrip()


@dataclass(frozen=True, slots=True)
class SettingSection:
    """The settings of one object, described.

    `place` is the path of the object in the document, "" for the whole document. `example` is a whole object.
    """

    place: str
    meaning: str
    entries: tuple[SettingEntry, ...]
    rules: tuple[str, ...] = ()
    example: Any = None
    title: str = ""

    @property
    def name(self) -> str:
        """Return the name in the heading; "" for the whole document."""
        return self.title or self.place

    @property
    def anchor(self) -> str:
        """Return the id of the heading on the page of the reference."""
        return heading_id(self.name)


def heading_id(name: str) -> str:
    """Return the id of the heading of a section. The prefix tells it from ids of the page, such as "header"."""
    return f"settings-{name}" if name else "settings"


def share_sections(sections: Iterable[SettingSection]) -> Iterator[SettingSection]:
    """Yield each section once, those that occur several times after all others: an object inside several variants is
    described once.
    """
    every = list(sections)
    shared: list[SettingSection] = []
    for section in every:
        if every.count(section) == 1:
            yield section
        elif section not in shared:
            shared.append(section)
    yield from shared


@dataclass(frozen=True, slots=True)
class FieldList:
    """The fields of a JSON document, listed beside the text that holds it. `page`: that of the reference with all of
    them. `has_expressions`: the document may hold expressions, whose functions have a page of their own.
    """

    page: str
    sections: tuple[SettingSection, ...]
    has_expressions: bool = False


def describe_object(kind: Object[Any], meaning: str, place: str = "") -> Iterator[SettingSection]:
    """Yield a section for an object, then one for each object inside it, outermost first."""
    yield SettingSection(
        place, meaning, _describe_settings(kind.settings, place), _rule_sentences(kind.rules)
    )
    yield from _describe_inner_objects(kind.settings, place)


def describe_variants(kind: VariantObject[Any]) -> Iterator[SettingSection]:
    """Yield a section for the selector, then one for each variant, followed by sections for the objects inside it."""
    yield SettingSection("", "", _describe_settings((kind.selector,), ""))
    for name, variant in kind.variants.items():
        entries = _describe_settings(variant.settings, "")
        yield SettingSection(
            "", variant.meaning, entries, _rule_sentences(variant.rules), dict(variant.example), name
        )
        yield from _describe_inner_objects(variant.settings, "")


def describe_fields(
    model: type[models.Model], settings: Mapping[str, FieldSetting], form: Any
) -> tuple[SettingEntry, ...]:
    """Describe the fields of a model, in the order of the model. `form`: the class of the form that has their
    labels.
    """
    labels = {
        **form.Meta.labels,
        **{name: form_field.label for name, form_field in form.declared_fields.items()},
    }
    return tuple(_describe_field(field, settings[field.name], labels) for field in setting_fields(model))


def setting_fields(model: type[models.Model]) -> "list[models.Field[Any, Any]]":
    """Return the fields of a model that a person enters in a form, without credentials."""
    return [
        field
        for field in model._meta.concrete_fields
        if field.editable and not field.primary_key and field.name != "credentials"
    ]


def _describe_field(
    field: "models.Field[Any, Any]", setting: FieldSetting, labels: Mapping[str, Any]
) -> SettingEntry:
    default = _field_default(field)
    return SettingEntry(
        name=field.name,
        kind=_name_field_type(field, setting),
        meaning=setting.meaning,
        example=setting.example,
        label=str(labels.get(field.name) or capfirst(field.verbose_name)),
        is_required=not field.blank and default in (None, {}, []),
        default=default,
        limits=_field_limits(field, setting),
        choices=tuple((str(value), str(label)) for value, label in field.choices or ()),
        rules=setting.rules,
        page=setting.page,
    )


def _name_field_type(field: "models.Field[Any, Any]", setting: FieldSetting) -> str:
    if setting.kind is not None:
        return _name_kind(setting.kind)
    names: list[tuple[type[models.Field[Any, Any]], str]] = [
        (models.BooleanField, _("true, false or empty") if field.null else _("true or false")),
        (models.ForeignKey, _("choice")),
        (models.JSONField, _("object")),
        (models.FloatField, _("number")),
        (models.IntegerField, _("whole number")),
        (models.SlugField, _("slug")),
        (models.URLField, _("URL")),
    ]
    return next((name for kind, name in names if isinstance(field, kind)), _("text"))


def _field_default(field: "models.Field[Any, Any]") -> Any:
    default = field.get_default() if field.has_default() else None
    # The value of an enumeration, not its member.
    return str(default) if isinstance(default, str) else default


def _field_limits(field: "models.Field[Any, Any]", setting: FieldSetting) -> str:
    if setting.kind is not None:
        return _kind_limits(setting.kind)
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
        least = _("at least %(lowest)s") % {"lowest": f"{lowest:,g}"}
        if highest is not None:
            least = _("%(lowest)s to %(highest)s") % {
                "lowest": f"{lowest:,.10g}",
                "highest": f"{highest:,.10g}",
            }
        parts.append(least)
    if isinstance(field, models.SlugField):
        parts.append(_("letters, digits, `_` and `-`"))
    if isinstance(field, models.CharField) and not field.choices:
        parts.append(_("at most %(most)s characters") % {"most": field.max_length})
    return "; ".join(parts)


def _describe_settings(settings: tuple[Setting[Any], ...], place: str) -> tuple[SettingEntry, ...]:
    return tuple(
        SettingEntry(
            name=setting.name,
            kind=_name_kind(setting.kind),
            meaning=setting.meaning,
            example=setting.example,
            is_required=setting.is_required,
            default=setting.default,
            limits=_kind_limits(setting.kind),
            choices=tuple((choice, "") for choice in setting.kind.choices),
            section=_part_path(setting, place) if _find_inner_object(setting.kind) else "",
        )
        for setting in settings
    )


def _describe_inner_objects(settings: tuple[Setting[Any], ...], place: str) -> Iterator[SettingSection]:
    for setting in settings:
        inner_object = _find_inner_object(setting.kind)
        if inner_object is not None:
            yield from describe_object(inner_object, setting.meaning, _part_path(setting, place))


def _find_inner_object(kind: ValueKind[Any]) -> Object[Any] | None:
    """Return the object that values of a kind are, or consist of; None if there is none."""
    if isinstance(kind, MapOf):
        return _find_inner_object(kind.values)
    if isinstance(kind, ListOf):
        return _find_inner_object(kind.items)
    return kind if isinstance(kind, Object) else None


def _part_path(setting: Setting[Any], place: str) -> str:
    """Return the path of the object in a setting, such as `entities.TYPE` or `version.stale[]`."""
    form_field = f"{place}.{setting.name}" if place else setting.name
    kind = setting.kind
    if isinstance(kind, MapOf):
        return f"{form_field}.{kind.placeholder}"
    return f"{form_field}[]" if isinstance(kind, ListOf) else form_field


def _name_kind(kind: ValueKind[Any]) -> str:
    if isinstance(kind, MapOf) and _find_inner_object(kind) is None:
        return _("object: %(name)s → %(kind)s") % {"name": kind.placeholder, "kind": _name_kind(kind.values)}
    return kind.label


def _kind_limits(kind: ValueKind[Any]) -> str:
    if isinstance(kind, MapOf) and _find_inner_object(kind) is None:
        words = ", ".join(f"`{choice}`" for choice in kind.values.choices)
        value_limits = _("values: %(choices)s") % {"choices": words} if words else kind.values.limits
        return "; ".join(filter(None, (kind.limits, value_limits)))
    return kind.limits


def _rule_sentences(rules: tuple[Rule, ...]) -> tuple[str, ...]:
    """Return each sentence once: several rules may say the same of several settings."""
    return tuple(dict.fromkeys(_rule_sentence(rule) for rule in rules if rule.sentence))


def _rule_sentence(rule: Rule) -> str:
    if not isinstance(rule, CodeRule):
        return rule.sentence
    checked = (
        _("(Checked by the hub alone, not by the JSON Schema.)")
        if rule.schema is None
        else _("(The JSON Schema checks only a part.)")
    )
    return f"{rule.sentence} {checked}"
