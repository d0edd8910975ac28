"""Rules that keep at least one person able to manage people, and the lock that enforces them."""

from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db.models import QuerySet


def users_who_can_change_users() -> QuerySet[User]:
    """Return the people who may change people now, through any role or permission."""
    return User.objects.with_perm("auth.change_user").filter(is_staff=True)


def lock_permission_changes() -> None:
    """Serialise changes of permissions: hold a row lock until this transaction ends."""
    # Any row would do; this one exists always and is about the same thing.
    locked = Permission.objects.select_for_update(of=("self",), no_key=True)
    locked.get(content_type__app_label="auth", codename="change_user")


def depends_on_role(person: Any, role: Group) -> bool:
    """Return True if the person may change people through this role alone."""
    held = person.groups.filter(permissions=change_user_permission())
    # A second role with the permission, or a permission of their own, keeps their access.
    is_alone = [group.pk for group in held] == [role.pk]
    return is_alone and not (
        person.is_superuser or person.user_permissions.contains(change_user_permission())
    )


def change_user_permission() -> Permission:
    """Return the permission to change people."""
    return Permission.objects.get(content_type__app_label="auth", codename="change_user")
