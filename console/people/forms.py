"""Forms of people and roles."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib.auth.forms import UserChangeForm, UserCreationForm
from django.contrib.auth.models import Permission
from django.utils.translation import gettext_lazy as _

from console.people.access import change_user_permission, depends_on_role, users_who_can_change_users

_LABELS = {
    "username": _("Username"),
    "email": _("E-mail"),
    "groups": _("Roles"),
    "is_active": _("Can log in"),
    "is_staff": _("Can open the console"),
    "is_superuser": _("Has all permissions"),
    "user_permissions": _("Permissions"),
}
_HELP_TEXTS = {
    "username": _("Letters, digits and @ . + - _ only."),
    "groups": _("Roles give the person their permissions."),
    "is_active": _("Clear this instead of deleting the user account: the person's history stays complete."),
    "is_staff": "",
    "is_superuser": "",
    "user_permissions": _("Permissions that no role of the person gives."),
}


class PermissionField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Form field that offers permissions by name."""

    def label_from_instance(self, obj: Permission) -> str:
        return obj.name


_NOT_FROM_YOURSELF = _("You cannot remove this from yourself. Ask another administrator.")


class PersonForm(UserChangeForm):  # type: ignore[type-arg]
    """Form for a login. Its password has a page of its own.

    Refuses to remove access that could not be restored: one's own, and that of the last person who may change people.
    """

    password = None  # type: ignore[assignment]
    editor_pk: int | None = None

    class Meta(UserChangeForm.Meta):
        labels = _LABELS
        help_texts = _HELP_TEXTS

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        # A field with an error is missing from the cleaned data.
        removed = [] if self.errors else _removed_access_fields(cleaned)
        if removed and self.instance.pk == self.editor_pk:
            self.add_error(removed[0], _NOT_FROM_YOURSELF)
        elif removed and list(users_who_can_change_users()[:2]) == [self.instance]:
            text = _(
                "This would leave no one who can manage users. Give that permission to another user first."
            )
            self.add_error(removed[0], text)
        return cleaned


class RoleForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form for a role. Editors cannot remove the permission to change people if only this role gives it to them."""

    editor: Any = None

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        kept = cleaned.get("permissions", ())
        if (
            self.instance.pk
            and change_user_permission() not in kept
            and depends_on_role(self.editor, self.instance)
        ):
            self.add_error("permissions", _NOT_FROM_YOURSELF)
        return cleaned


class NewPersonForm(UserCreationForm):  # type: ignore[type-arg]
    """Form for a new login that may open the console. Without a role the person sees nothing there."""

    class Meta(UserCreationForm.Meta):
        labels = _LABELS
        help_texts = _HELP_TEXTS

    def save(self, commit: bool = True) -> Any:
        # Without it the new person could not log in to the console at all.
        self.instance.is_staff = True
        return super().save(commit)


def _removed_access_fields(cleaned: Mapping[str, Any]) -> list[str]:
    """Return the form fields whose values keep the person from changing people; empty if none does."""
    closed = [name for name in ("is_active", "is_staff") if not cleaned[name]]
    return closed if closed or _keeps_change_user_permission(cleaned) else ["groups"]


def _keeps_change_user_permission(cleaned: Mapping[str, Any]) -> bool:
    permission = change_user_permission()
    return (
        cleaned["is_superuser"]
        or permission in cleaned["user_permissions"]
        or cleaned["groups"].filter(permissions=permission).exists()
    )
