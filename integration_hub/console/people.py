"""Logins and roles: Django's own pages, every change on the audit log without names or passwords."""

from functools import partial
from typing import Any

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

    def stream(self, pk: Any) -> str:
        return f"person:{pk}"

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        person = self.get_object(request, unquote(id))
        page = partial(super().user_change_password, request, id, form_url)
        return page() if person is None else record_change(request, person.pk, page)


@admin.register(Group)
class RoleAdmin(AuditedAdmin, GroupAdmin):
    """A group, and what its members may do."""

    kind = "group"
    many = ("permissions",)
