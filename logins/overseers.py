"""Those who watch over the others: who may read the audit log, and the roles that every hub has.

The built-in roles keep their names and core permissions, and are never deleted. Those who administer people could
otherwise blind the auditors by a change of a role.
"""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db.models import ProtectedError, Q, QuerySet
from django.db.models.signals import pre_delete
from django.dispatch import receiver

READ_LOG = "audit.view_entry"
# The auditor keeps everything. Of the others, what makes them what they are.
CORE_PERMISSIONS: Mapping[str, frozenset[str]] = {
    "support": frozenset({"webhooks.view_event", "sync.view_delivery", "webhooks.replay_event"}),
    "auditor": frozenset(
        {
            "audit.view_entry",
            "audit.download_entry",
            "exports.view_export",
            "exports.request_export",
            "webhooks.download_event",
            "webhooks.view_event",
            "webhooks.view_receipt",
            "webhooks.view_refusal",
            "webhooks.view_source",
            "sync.view_delivery",
            "sync.view_attempt",
            "sync.view_call",
            "sync.view_link",
            "sync.view_personrequest",
            "sync.view_connection",
            "sync.view_route",
            "sync.view_mapping",
            "sync.view_mappingversion",
            "sync.view_alarm",
            "sync.view_breaker",
            "sync.view_failuregroup",
            "sync.view_differences",
        }
    ),
    "administrator": frozenset(
        {"auth.view_user", "auth.change_user", "auth.view_group", "auth.change_group", "audit.view_entry"}
    ),
}


def is_built_in(role: Group | None) -> bool:
    return role is not None and role.name in CORE_PERMISSIONS


@receiver(pre_delete, sender=Group)
def refuse_deletion(instance: Group, **_: Any) -> None:
    """Raise ProtectedError, before anything that belongs to the role is deleted."""
    if is_built_in(instance):
        raise ProtectedError("Built-in roles are never deleted.", {instance})


def log_readers() -> QuerySet[User]:
    """Return the people who can read the audit log now: their logins are enabled and may open the console."""
    return User.objects.with_perm(READ_LOG).filter(is_staff=True)


def roles_that_read() -> QuerySet[Group]:
    """Return the roles that give the right to read the audit log."""
    return Group.objects.filter(permissions__in=_permission())


def has_right_with(person: User, roles: QuerySet[Group]) -> bool:
    """Return True if the person has the right to read the log with these roles, also while the login is disabled."""
    if person.is_superuser or person.user_permissions.filter(pk__in=_permission()).exists():
        return True
    return roles_that_read().filter(pk__in=roles.values("pk")).exists()


def people_who_need(role: Group) -> QuerySet[User]:
    """Return the people whom nothing but this role lets read the audit log, also those whose login is disabled."""
    if not roles_that_read().filter(pk=role.pk).exists():
        return User.objects.none()
    otherwise = Q(is_superuser=True) | Q(user_permissions__in=_permission())
    otherwise |= Q(groups__in=roles_that_read().exclude(pk=role.pk))
    return role.user_set.exclude(pk__in=User.objects.filter(otherwise).values("pk"))


def _permission() -> QuerySet[Permission]:
    app_label, _dot, codename = READ_LOG.partition(".")
    return Permission.objects.filter(content_type__app_label=app_label, codename=codename)
