"""What a person may do, in one statement a page."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AbstractUser, Group, Permission, User
from django.db.models import Q


class Backend(ModelBackend):
    """Django's own, but for the permissions: a person's own and those of the groups come together, not one by one."""

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """`app.codename`; of a superuser all, of a person who may not log in none."""
        if user_obj.is_superuser or not user_obj.is_active or user_obj.is_anonymous or obj is not None:
            return super().get_all_permissions(user_obj, obj)
        if not hasattr(user_obj, "_perm_cache"):
            user_obj._perm_cache = _permissions(user_obj)
        found: set[str] = user_obj._perm_cache
        return found


def _permissions(user: AbstractUser) -> set[str]:
    own = User.user_permissions.through.objects.filter(user=user.pk).values("permission")
    of_groups = Group.permissions.through.objects.filter(group__user=user.pk).values("permission")
    rows = Permission.objects.filter(Q(pk__in=own) | Q(pk__in=of_groups)).order_by()
    return {f"{label}.{name}" for label, name in rows.values_list("content_type__app_label", "codename")}
