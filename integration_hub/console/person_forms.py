"""The forms of a login, in the console's words."""

from typing import Any

from django import forms
from django.contrib.auth.forms import UserChangeForm, UserCreationForm
from django.contrib.auth.models import Permission
from django.utils.translation import gettext_lazy as _

_LABELS = {
    "username": _("Login name"),
    "email": _("E-mail"),
    "groups": _("Roles"),
    "is_active": _("May log in"),
    "is_staff": _("May open the console"),
    "is_superuser": _("May do everything, whatever the roles"),
    "user_permissions": _("Permissions"),
}
_HELP = {
    "username": _("Letters, digits and @ . + - _ only."),
    "groups": _("What the person may do."),
    "is_active": _("Take this away instead of deleting the login: what the person did stays on record."),
    "is_staff": "",
    "is_superuser": "",
    "user_permissions": _("What the person may do besides."),
}


class PermissionField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Permissions by their names."""

    def label_from_instance(self, obj: Permission) -> str:
        return obj.name


class PersonForm(UserChangeForm):  # type: ignore[type-arg]
    """A login that there is. Its password has a page of its own."""

    password = None  # type: ignore[assignment]

    class Meta(UserChangeForm.Meta):
        labels = _LABELS
        help_texts = _HELP


class NewPersonForm(UserCreationForm):  # type: ignore[type-arg]
    """A login for the console: whoever has no role sees nothing there."""

    class Meta(UserCreationForm.Meta):
        labels = _LABELS
        help_texts = _HELP

    def save(self, commit: bool = True) -> Any:
        self.instance.is_staff = True
        return super().save(commit)
