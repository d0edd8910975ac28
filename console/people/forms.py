"""Forms of people and roles."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib.auth.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from django.contrib.auth.models import Group, Permission, User
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from console.base.forms import ReasonField
from console.people.access import change_user_permission, lacks_any, users_who_can_change_users
from logins.access_requests import MAX_OPEN, open_requests, permission_names
from logins.models import AccessChange
from logins.overseers import CORE_PERMISSIONS, READ_LOG, has_right_with, people_who_need, roles_that_read
from logins.usernames import why_not_username

_LABELS = {
    "username": _("Username"),
    "email": _("E-mail"),
    "groups": _("Roles"),
    "is_active": _("Can log in"),
    "is_staff": _("Can open the console"),
}
_MAX_NAMED = 5
_HELP_TEXTS = {
    "username": _("Letters, digits and @ . + - _ only. It cannot be changed after the first login."),
    "groups": _(
        "Roles give the person their permissions. A role with permissions that you lack is given when another "
        "administrator approves it."
    ),
    "is_active": _("Clear this instead of deleting the user account: the person's history stays complete."),
    "is_staff": "",
}


class NewPasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]
    """Form for a new password of another person. It cannot leave them without any, which would lock them out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.pop("usable_password", None)


class AccessFormMixin(forms.ModelForm):  # type: ignore[type-arg]
    """Removes what the editor cannot change alone from the form: it is requested and not saved.

    `access_to_request` is what the editor lacks; `removals_to_request` is what takes the right to read the audit log.
    """

    editor: Any = None
    access_to_request: Sequence[Any] = ()
    removals_to_request: Sequence[tuple[AccessChange, Group | None]] = ()

    @property
    def request_count(self) -> int:
        return len(self.access_to_request) + len(self.removals_to_request)

    def refuse_excess_requests(self) -> None:
        """Refuse the form if more requests would be open than anyone reviews."""
        if self.request_count and open_requests().count() + self.request_count > MAX_OPEN:
            self.add_error(None, _("Too many access requests are open. Decide some of them first."))

    def defer_roles_to_request(self, cleaned: dict[str, Any]) -> None:
        """Remove new roles with permissions that the editor lacks from the chosen ones, to request them."""
        chosen = cleaned.get("groups")
        if chosen is None:
            return
        held = self.instance.groups.values_list("pk", flat=True) if self.instance.pk else ()
        new = chosen.exclude(pk__in=list(held))
        self.access_to_request = [role for role in new if lacks_any(self.editor, role.permissions.all())]
        cleaned["groups"] = chosen.exclude(pk__in=[role.pk for role in self.access_to_request])
        self.refuse_excess_requests()


class PersonForm(AccessFormMixin, UserChangeForm):  # type: ignore[type-arg]
    """Form for a login. Its password has a page of its own.

    Refuses to remove the access of the last person who may change people.
    """

    password = None  # type: ignore[assignment]
    reason = ReasonField(
        required=False,
        help_text=_(
            "Needed to disable this login, to close the console or to take the right to read the audit log. A second "
            "person must approve that."
        ),
    )

    class Meta(UserChangeForm.Meta):
        labels = _LABELS
        help_texts = _HELP_TEXTS

    def clean_username(self) -> str:
        return _checked_username(self.cleaned_data["username"], self.instance.pk)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        self.defer_roles_to_request(cleaned)
        self.defer_removals_to_request(cleaned)
        # A field with an error is missing from the cleaned data, and so is one that is shown only.
        if self.errors or "groups" not in cleaned:
            return cleaned
        removed = _removed_access_fields(self.instance, cleaned)
        if removed and list(users_who_can_change_users()[:2]) == [self.instance]:
            text = _(
                "This would leave no one who can manage users. Give that permission to another user first."
            )
            self.add_error(removed[0], text)
        return cleaned

    def defer_removals_to_request(self, cleaned: dict[str, Any]) -> None:
        """Keep what would take the right to read the audit log from the person, to request it with the reason."""
        if "groups" not in cleaned or not has_right_with(self.instance, self.instance.groups.all()):
            return
        flags = {"is_active": AccessChange.DISABLE, "is_staff": AccessChange.CLOSE}
        cleared = [name for name in flags if getattr(self.instance, name) and not cleaned[name]]
        needed = _needed_roles(self.instance, cleaned["groups"])
        self.removals_to_request = [
            *((flags[name], None) for name in cleared),
            *((AccessChange.TAKE_ROLE, role) for role in needed),
        ]
        cleaned |= dict.fromkeys(cleared, True)
        kept = [role.pk for role in (*cleaned["groups"], *needed)]
        cleaned["groups"] = Group.objects.filter(pk__in=kept)
        if self.removals_to_request and not cleaned.get("reason"):
            self.add_error("reason", _("Enter a reason. The second person and the audit log see it."))
        self.refuse_excess_requests()


class RoleForm(AccessFormMixin):
    """Form for a role. Permissions that the editor lacks are requested, not saved.

    Built-in roles keep their core permissions. A role keeps the right to read the audit log while a person has it from
    no other.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.core = _core_permissions(self.instance)
        widget: Any = self.fields["permissions"].widget if "permissions" in self.fields else None
        if widget is not None:
            widget.fixed = frozenset(self.core.values_list("pk", flat=True))

    def clean_permissions(self) -> QuerySet[Permission]:
        chosen: QuerySet[Permission] = self.cleaned_data["permissions"]
        kept = Permission.objects.filter(
            pk__in=[*chosen.values_list("pk", flat=True), *self.core.values_list("pk", flat=True)]
        )
        if READ_LOG in permission_names(kept) or not self.instance.pk:
            return kept
        if people := list(people_who_need(self.instance)[:_MAX_NAMED]):
            raise forms.ValidationError(
                _(
                    "This would take the right to read the audit log from %(people)s. Take the role from each of them "
                    "first, which a second person approves."
                ),
                params={"people": ", ".join(person.get_username() for person in people)},
            )
        return kept

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        chosen = cleaned.get("permissions")
        if chosen is None:
            return cleaned
        held = self.instance.permissions.values_list("pk", flat=True) if self.instance.pk else ()
        lacking = permission_names(chosen.exclude(pk__in=list(held))) - self.editor.get_all_permissions()
        self.access_to_request = sorted(lacking)
        kept = [permission for permission in chosen if permission_name(permission) not in lacking]
        cleaned["permissions"] = chosen.filter(pk__in=[permission.pk for permission in kept])
        self.refuse_excess_requests()
        return cleaned


def permission_name(permission: Permission) -> str:
    """Return a permission as `app.codename`."""
    return f"{permission.content_type.app_label}.{permission.codename}"


class NewPersonForm(AccessFormMixin, UserCreationForm):  # type: ignore[type-arg]
    """Form for a new login that may open the console. Without a role the person sees nothing there."""

    class Meta(UserCreationForm.Meta):
        labels = _LABELS
        help_texts = _HELP_TEXTS

    def clean_username(self) -> str:
        # Django has found an error if there is no username.
        username: str | None = super().clean_username()
        return _checked_username(username, None) if username else ""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        self.defer_roles_to_request(cleaned)
        return cleaned

    def save(self, commit: bool = True) -> Any:
        # Without it the new person could not log in to the console at all.
        self.instance.is_staff = True
        return super().save(commit)


def _checked_username(username: str, number: int | None) -> str:
    """Return the username. Raises ValidationError if the login with this number cannot have it."""
    if why_not := why_not_username(username, number):
        raise forms.ValidationError(why_not)
    return username


def _needed_roles(person: User, chosen: QuerySet[Group]) -> list[Group]:
    """Return the roles without which the person would lose the right to read the audit log; none if they keep it."""
    if has_right_with(person, chosen):
        return []
    return list(roles_that_read().filter(user=person.pk).exclude(pk__in=chosen.values("pk")).order_by("pk"))


def _core_permissions(role: Group) -> QuerySet[Permission]:
    """Return the permissions that the role has and must keep."""
    if role._state.adding:
        return Permission.objects.none()
    held = role.permissions.select_related("content_type")
    core = CORE_PERMISSIONS.get(role.name, frozenset())
    return held.filter(pk__in=[one.pk for one in held if permission_name(one) in core])


def _removed_access_fields(person: User, cleaned: Mapping[str, Any]) -> list[str]:
    """Return the form fields whose values keep the person from changing people; empty if none does."""
    closed = [name for name in ("is_active", "is_staff") if not cleaned[name]]
    return closed if closed or _keeps_change_user_permission(person, cleaned) else ["groups"]


def _keeps_change_user_permission(person: User, cleaned: Mapping[str, Any]) -> bool:
    permission = change_user_permission()
    return (
        person.is_superuser
        or person.user_permissions.contains(permission)
        or cleaned["groups"].filter(permissions=permission).exists()
    )
