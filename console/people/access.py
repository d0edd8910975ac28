"""Rules on who may change whose access. At least one person stays able to manage people; a lock enforces it."""

from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q, QuerySet

from logins.access_requests import permission_names


def users_who_can_change_users() -> QuerySet[User]:
    """Return the people who may change people now, through any role or permission."""
    return User.objects.with_perm("auth.change_user").filter(is_staff=True)


def permissions_of(person: User) -> set[str]:
    """Return what the person may do, as `app.codename`, also while the login is switched off. For a superuser this is
    every permission.
    """
    if person.is_superuser:
        return permission_names(Permission.objects.all())
    given = Q(group__user=person.pk) | Q(user=person.pk)
    return permission_names(Permission.objects.filter(given))


def lacks_any(editor: Any, permissions: QuerySet[Permission]) -> bool:
    """Return True if the editor lacks one of these permissions, and so cannot give them alone."""
    return bool(permission_names(permissions) - editor.get_all_permissions())


def may_set_password(editor: Any, person: User) -> bool:
    """Return True if the person may do nothing that the editor may not: whoever sets a password can log in with it."""
    return bool(editor.is_superuser or permissions_of(person) <= editor.get_all_permissions())


def lock_permission_changes() -> None:
    """Serialise changes of permissions: hold a row lock until this transaction ends."""
    # Any row would do; this one always exists and is about the same permission.
    locked = Permission.objects.select_for_update(of=("self",), no_key=True)
    locked.get(content_type__app_label="auth", codename="change_user")


def is_oneself(editor: Any, person: User | None) -> bool:
    """Return True if the login is the editor's own: nobody changes their own access."""
    return person is not None and person.pk == editor.pk


def holds_role(editor: Any, role: Group | None) -> bool:
    """Return True if a change of the role would change the editor's own permissions. A superuser has all anyway."""
    return role is not None and not editor.is_superuser and editor.groups.contains(role)


def change_user_permission() -> Permission:
    return Permission.objects.get(content_type__app_label="auth", codename="change_user")
