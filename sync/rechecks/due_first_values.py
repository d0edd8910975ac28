"""Deliver again where a field was left out because it had no value in any entity, and now it has had one.

As with other re-checks, the ordinary engine fetches, maps and compares: what it writes is never outdated.
"""

import json
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from database.statement import Statement
from sync.deliveries.ordering import lock_open_siblings
from sync.models import OPEN_STATES, SUCCESS_STATES, Delivery, Link, MappingVersion, Route
from sync.models.delivery import sql_list
from sync.rechecks.reopened_deliveries import CAN_BEGIN, ROUTE_TABLES, make_due, may_run

# In a round of five seconds, so that a first value which concerns many does not crowd out new events.
MAX_FIRST_VALUES = 100
# Deliveries that began before the first value may leave the field out until their attempt ends.
_LAST_ATTEMPTS_END = timedelta(minutes=10)

# The links of a route that lack a field, each with the newest delivery of its subject that succeeded.
_DUE = Statement(
    f"""SELECT l.id, MAX(d.id) FROM sync_link l JOIN webhooks_event v ON v.entity_id = l.entity_id
    JOIN sync_delivery d ON d.event_id = v.id AND d.entity_type = l.entity_type AND d.identity_id = l.identity_id
    AND d.target_id = l.target_id {ROUTE_TABLES}
    WHERE l.target_id = %s AND l.identity_id = %s AND l.entity_type = %s
    AND l.withheld_fields IS NOT NULL AND l.withheld_fields LIKE %s ESCAPE '!'
    AND d.state IN {sql_list(SUCCESS_STATES)} AND t.mapping_id = %s AND t.is_enabled AND {CAN_BEGIN}
    GROUP BY l.id ORDER BY l.id LIMIT %s"""  # noqa: S608
)


def begin_due_first_values(limit: int = MAX_FIRST_VALUES) -> list[int]:
    """Begin at most `limit` deliveries again whose record lacks a field that has had its first value. Returns the
    deliveries that run now.
    """
    begun: list[int] = []
    for version in _versions_in_force():
        for name, since in version.fields_to_complete.items():
            due = _find_due(version.mapping_id, name, limit - len(begun))
            begun += [delivery for link, delivery in due if _begin_delivery(link, delivery)]
            if not due and timezone.now() - datetime.fromisoformat(since) > _LAST_ATTEMPTS_END:
                _finish_field(version.pk, name)
            if len(begun) >= limit:
                return begun
    return begun


def _versions_in_force() -> QuerySet[MappingVersion]:
    """Select the versions in force with fields to complete. An earlier one says nothing about what is left out now."""
    newest = MappingVersion.objects.filter(mapping=OuterRef("mapping")).order_by("-number").values("pk")[:1]
    versions = MappingVersion.objects.exclude(fields_to_complete={}).filter(pk=Subquery(newest))
    return versions.only("mapping", "fields_to_complete").order_by("pk")


def _find_due(mapping_id: int, name: str, limit: int) -> list[tuple[int, int]]:
    """Return at most `limit` links that lack a field of a mapping, each with the delivery that can be made due."""
    routes = Route.objects.filter(mapping=mapping_id, is_enabled=True)
    due: list[tuple[int, int]] = []
    for ends in routes.order_by().values_list("target", "identity", "entity_type").distinct():
        due += [
            (link, key) for link, key in _DUE.fetch_all(*ends, _pattern(name), mapping_id, limit - len(due))
        ]
        if len(due) >= limit:
            break
    return due


def _begin_delivery(link_id: int, delivery_id: int) -> bool:
    """Make a delivery due. Returns False if it may not run, or another process was first.

    1. Lock the open deliveries of the subject, so that no other is claimed before the commit, and the delivery.
    2. Forget what the record lacks: the next attempt stores it anew. So a first value makes a subject due once.
    3. Mark the delivery as pending, unless the entity was erased or the delivery was closed.
    """
    with transaction.atomic():
        delivery = Delivery.objects.select_related("event").get(pk=delivery_id)
        if any(sibling.state in OPEN_STATES for sibling in lock_open_siblings(delivery)):
            return False
        delivery = (
            Delivery.objects.select_related("event").select_for_update(of=("self",)).get(pk=delivery_id)
        )
        links = Link.objects.filter(pk=link_id, withheld_fields__isnull=False)
        if delivery.state in OPEN_STATES or not links.update(withheld_fields=None) or not may_run(delivery):
            return False
        make_due(delivery)
    return True


def _finish_field(version_id: int, name: str) -> None:
    with transaction.atomic():
        version = MappingVersion.objects.select_for_update().get(pk=version_id)
        version.fields_to_complete.pop(name, None)
        version.save(update_fields=["fields_to_complete"])


def _pattern(name: str) -> str:
    """Return the pattern of a list of names, as JSON, that has this one."""
    text = json.dumps(name)
    for sign in "!%_":
        text = text.replace(sign, f"!{sign}")
    return f"%{text}%"
