"""At which connection dead deliveries failed: the one that their code is about."""

from typing import Any

from django.db.models import F, QuerySet

from sync.models import Delivery, FailureGroup, Side
from webhooks.catalogue.codes import CATALOGUE, is_about_identity
from webhooks.models import State

_OF_IDENTITY = tuple(code for code in CATALOGUE if is_about_identity(code))


def dead_of(group: FailureGroup) -> QuerySet[Delivery]:
    """What is failed of it now, by an index on what is dead."""
    side = Side.IDENTITY if is_about_identity(group.code) else Side.COMMERCIAL
    there = {f"{side}_id": group.connection_id}
    return Delivery.objects.filter(state=State.DEAD, code=group.code, **there)


def by_side(dead: QuerySet[Delivery]) -> tuple[QuerySet[Any], QuerySet[Any]]:
    """The same in two parts, each delivery with the key of the connection `at_fault`."""
    return (
        dead.filter(code__in=_OF_IDENTITY).annotate(at_fault=F("identity_id")),
        dead.exclude(code__in=_OF_IDENTITY).annotate(at_fault=F("commercial_id")),
    )
