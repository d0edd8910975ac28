"""Logins and roles: Django's own pages, every change on the audit log without names or passwords."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest, HttpResponse

from integration_hub.console.passwords import record_change
from integration_hub.console.recording import AuditedAdmin

admin.site.unregister([User, Group])


@admin.register(User)
class PersonAdmin(AuditedAdmin, UserAdmin):  # type: ignore[type-arg]
    """A staff member's login. Its stream is `person:<id>`."""

    kind = "person"
    withheld = frozenset({"username", "first_name", "last_name", "email", "password"})
    many = ("groups", "user_permissions")

    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ()

    def stream(self, pk: Any) -> str:
        return f"person:{pk}"

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "groups":
            kwargs["widget"] = forms.CheckboxSelectMultiple
        return _tall(super().formfield_for_manytomany(db_field, request, **kwargs))

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        person = self.get_object(request, unquote(id))
        page = partial(super().user_change_password, request, id, form_url)
        return page() if person is None else record_change(request, person.pk, page)


@admin.register(Group)
class RoleAdmin(AuditedAdmin, GroupAdmin):
    """A group, and what its members may do."""

    kind = "group"
    many = ("permissions",)
    filter_horizontal = ()

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        return _tall(super().formfield_for_manytomany(db_field, request, **kwargs))


def _tall(field: Any) -> Any:
    """A list of permissions that shows more than four at once."""
    if isinstance(field.widget, forms.SelectMultiple):
        field.widget.attrs["size"] = 16
    return field
