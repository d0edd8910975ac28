"""Permissions of a user, loaded by one statement a request."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AbstractUser, Group, Permission, User
from django.db.models import Q


class Backend(ModelBackend):
    """Django's backend, which loads the permissions of a user and of the user's groups in one statement, not in two.

    Sessions store the path of this class: a new name would log out everybody.
    """

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Return the permissions of a user as `app.codename`: all for a superuser, none for an inactive user."""
        if user_obj.is_superuser or not user_obj.is_active or user_obj.is_anonymous or obj is not None:
            return super().get_all_permissions(user_obj, obj)
        if not hasattr(user_obj, "_perm_cache"):
            user_obj._perm_cache = _load_permissions(user_obj)
        permissions: set[str] = user_obj._perm_cache
        return permissions


def _load_permissions(user: AbstractUser) -> set[str]:
    user_permissions = User.user_permissions.through.objects.filter(user=user.pk).values("permission")
    group_permissions = Group.permissions.through.objects.filter(group__user=user.pk).values("permission")
    permissions = Permission.objects.filter(
        Q(pk__in=user_permissions) | Q(pk__in=group_permissions)
    ).order_by()
    return {
        f"{label}.{name}" for label, name in permissions.values_list("content_type__app_label", "codename")
    }
