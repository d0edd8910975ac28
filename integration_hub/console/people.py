"""Logins and roles: Django's own pages, every change on the audit log without a name, an address or a password."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from integration_hub.console.recording import AuditedAdmin, record

admin.site.unregister([User, Group])


@admin.register(User)
class PersonAdmin(AuditedAdmin, UserAdmin):
    """A staff member's login. Its stream is `person:<id>`."""

    kind = "person"
    withheld = frozenset({"username", "first_name", "last_name", "email", "password"})
    many = ("groups", "user_permissions")

    def stream(self, pk: Any) -> str:
        return f"person:{pk}"

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponseBase:  # noqa: A002
        """Another person's password; Django's page saves it outside `save_model`."""
        with transaction.atomic():
            before = User.objects.filter(pk=id).values_list("password", flat=True).first()
            response: HttpResponseBase = super().user_change_password(request, id, form_url)
            after = User.objects.filter(pk=id).values_list("password", flat=True).first()
            if before != after:
                record(request, self.stream(id), "person.password-changed")
        return response


@admin.register(Group)
class RoleAdmin(AuditedAdmin, GroupAdmin):
    """A group, and what its members may do."""

    kind = "group"
    many = ("permissions",)
