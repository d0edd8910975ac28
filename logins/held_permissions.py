"""Record since when people have held the permissions to decide what another person requested.

Signals keep the rows in step with every change through the ORM. A permission that was given in another way counts
from the moment that it is first seen here.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Group, User
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.dispatch import receiver
from django.utils import timezone

from logins.models import HeldPermission

CHANGE_PEOPLE = "auth.change_user"
APPROVE_REPLAYS = "sync.approve_replay"
ERASE = "sync.erase_subject"
APPROVE_EXPORTS = "exports.request_export"
PERMISSIONS = (CHANGE_PEOPLE, APPROVE_REPLAYS, ERASE, APPROVE_EXPORTS)
_FLAGS = frozenset({"is_active", "is_staff", "is_superuser"})


def held_since(person: int, permission: str) -> datetime | None:
    """Return since when the person has held the permission, or None if they do not hold it."""
    held = HeldPermission.objects.filter(person=person, permission=permission)
    since = held.values_list("since", flat=True).first()
    if since is None:
        record_held_permissions([person])
        since = held.values_list("since", flat=True).first()
    return since


def record_held_permissions(people: Iterable[int] | None = None) -> None:
    """Record permissions that people hold now, from now on, and delete those that they lost. None: all people."""
    numbers = None if people is None else list(people)
    now = timezone.now()
    for permission in PERMISSIONS:
        holders, rows = (
            User.objects.with_perm(permission).filter(is_staff=True),
            HeldPermission.objects.filter(permission=permission),
        )
        if numbers is not None:
            holders, rows = holders.filter(pk__in=numbers), rows.filter(person__in=numbers)
        holding = set(holders.values_list("pk", flat=True))
        recorded = set(rows.values_list("person", flat=True))
        if recorded - holding:
            rows.filter(person__in=recorded - holding).delete()
        begun = [
            HeldPermission(person_id=person, permission=permission, since=now)
            for person in sorted(holding - recorded)
        ]
        HeldPermission.objects.bulk_create(begun, ignore_conflicts=True)


@receiver(post_save, sender=User)
def record_flags(instance: User, update_fields: frozenset[str] | None, **_: Any) -> None:
    """Follow a new login and its flags. A login saves its time only, which changes no permission."""
    if update_fields is None or update_fields & _FLAGS:
        record_held_permissions([instance.pk])


@receiver(m2m_changed, sender=User.groups.through)
@receiver(m2m_changed, sender=User.user_permissions.through)
def record_roles(action: str, instance: Any, reverse: bool, pk_set: set[int] | None, **_: Any) -> None:
    """Follow the roles and permissions of people."""
    if action.startswith("post_"):
        record_held_permissions(pk_set if reverse else [instance.pk])


@receiver(m2m_changed, sender=Group.permissions.through)
def record_role_permissions(action: str, **_: Any) -> None:
    """Follow the permissions of a role, which may have many holders."""
    if action.startswith("post_"):
        record_held_permissions()


@receiver(post_delete, sender=Group)
def record_deleted_role(**_: Any) -> None:
    """Follow the deletion of a role."""
    record_held_permissions()
