"""Permissions as people choose them for a role: boxes in groups, one for each kind of object that they are about."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from django import forms
from django.contrib.auth.models import Permission
from django.forms.models import ModelChoiceIterator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst


def group_permissions(permissions: Iterable[Permission]) -> Iterator[tuple[str, list[Permission]]]:
    """Yield the permissions by the kind of object that they are about, both in order of their names."""
    ordered = sorted(permissions, key=lambda permission: (_object_name(permission), permission.name))
    for title, members in groupby(ordered, key=_object_name):
        yield title, list(members)


def _object_name(permission: Permission) -> str:
    model = permission.content_type.model_class()
    return capfirst(str(model._meta.verbose_name_plural if model else permission.content_type.model))


def render_permissions(permissions: Iterable[Permission]) -> SafeString:
    """Render the names of permissions, for a page that does not change them."""
    groups = (
        (title, format_html_join("", "<li>{}</li>", ((member.name,) for member in members)))
        for title, members in group_permissions(permissions)
    )
    return format_html(
        '<div class="permission-groups">{}</div>',
        format_html_join("", "<section><h3>{}</h3><ul>{}</ul></section>", groups),
    )


class _GroupedChoices(ModelChoiceIterator):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[Any]:
        for title, permissions in group_permissions(self.queryset.select_related("content_type")):
            yield title, [self.choice(permission) for permission in permissions]


class PermissionField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Form field that offers permissions by name, in groups."""

    iterator = _GroupedChoices

    def label_from_instance(self, obj: Permission) -> str:
        return obj.name


class PermissionBoxes(forms.CheckboxSelectMultiple):
    """Checkboxes of permissions. Those with a key in `fixed` cannot be cleared."""

    template_name = "console/people/_permission_boxes.html"
    fixed: frozenset[int] = frozenset()

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        option = super().create_option(name, value, *args, **kwargs)
        if getattr(value, "value", value) in self.fixed:
            option["attrs"]["disabled"] = True
        return option
