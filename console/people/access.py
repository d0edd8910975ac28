"""Who may change people, and locks so that somebody always may."""

from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db.models import QuerySet


def users_who_can_change_users() -> QuerySet[User]:
    """Who may change people now, by whichever right."""
    return User.objects.with_perm("auth.change_user").filter(is_staff=True)


def lock_permission_changes() -> None:
    """Whoever else is about to change what people may do waits for the end of this transaction."""
    locked = Permission.objects.select_for_update(of=("self",), no_key=True)
    locked.get(content_type__app_label="auth", codename="change_user")


def depends_on_role(person: Any, role: Group) -> bool:
    """Whether a person may change people through this role alone."""
    held = person.groups.filter(permissions=change_user_permission())
    is_alone = [group.pk for group in held] == [role.pk]
    return is_alone and not (
        person.is_superuser or person.user_permissions.contains(change_user_permission())
    )


def change_user_permission() -> Permission:
    """The permission that lets a person change people."""
    return Permission.objects.get(content_type__app_label="auth", codename="change_user")
