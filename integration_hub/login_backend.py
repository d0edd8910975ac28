"""Logins within their limits, and the permissions of a user, loaded by one statement a request."""

from functools import partial
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AbstractUser, Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest

from logins.guard import guard_attempt
from logins.limits import LoginRefused
from webhooks.receiving.incoming_request import read_client_address


class LimitedLoginBackend(ModelBackend):
    """Django's backend, with limits for logins. It loads the permissions of a user and of the user's groups in one
    statement, not in two.

    Sessions store the path of this class: a new name would log out everybody.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the user whose password this is, or None. Raises PermissionDenied, and sets `login_refusal` of the
        request, if the password was not checked because a limit is used up.
        """
        name = kwargs.get(User.USERNAME_FIELD) if username is None else username
        if name is None or password is None:
            return None
        address = read_client_address(request) if request is not None else None
        check = partial(super().authenticate, request, name, password)
        try:
            return guard_attempt(str(name), address or "", check)
        except LoginRefused as refusal:
            if request is not None:
                request.login_refusal = refusal  # type: ignore[attr-defined]
            raise PermissionDenied from refusal

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
