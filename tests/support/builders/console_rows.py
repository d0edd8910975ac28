"""One row of each model that has pages in the console."""

from typing import Any

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.models import Entry
from exports.jobs.lifecycle import request_export
from logins.models import AccessRequest
from sync.models import Alarm, Erasure, FailureGroup
from sync.search.event_filter import resolve_filter
from tests.support.builders.compared_pairs import a_comparison, a_difference
from tests.support.builders.history import a_delivery, a_receipt, a_replay, a_route, a_source, an_event
from tests.support.people import person
from webhooks.models import Refusal, SourceSecret

SUPPORT = "support"


def rows() -> dict[str, Any]:
    """Create one row of each model that has pages. Returns them by label."""
    now = timezone.now()
    root = person("", "someone")
    route = a_route(a_source())
    event = an_event(1, source=route.source, state="held")
    with transaction.atomic():
        append_entries(NewEntry("setting:source:1", "source.changed"))
    seen = {"first_at": now, "last_at": now, "bucket": "b"}
    erasure = {"entity_type": "USER", "entity_id": "U1", "sources": [], "ground": "objection"}
    # Pages below a comparison name its route and a difference by their keys.
    comparison = a_comparison(route, pk=route.pk)
    a_difference(comparison, pk=route.pk)
    return {
        "webhooks_source": route.source,
        "webhooks_event": event,
        "webhooks_receipt": a_receipt(event),
        "webhooks_refusal": Refusal.objects.create(source=route.source, code="bad-signature", **seen),
        "secret": SourceSecret.objects.create(source=route.source, value="whsec_x", hint="x"),
        "sync_connection": route.target,
        "sync_route": route,
        "sync_mapping": route.mapping,
        "sync_delivery": a_delivery(event, route),
        "sync_personrequest": a_replay(root),
        "sync_comparison": comparison,
        "sync_alarm": Alarm.objects.create(kind="deliveries-dead", subject="", began_at=now, raised_at=now),
        "sync_erasure": Erasure.objects.create(requested_by=root, reason="r", requested_at=now, **erasure),
        "exports_export": request_export(resolve_filter({}, now), by=root, reason="evidence"),
        "audit_entry": Entry.objects.latest("id"),
        "sync_failuregroup": FailureGroup.objects.create(
            connection=route.target, code="target-rejected", first_at=now, last_at=now
        ),
        "auth_user": person("administrator", "colleague"),
        "logins_accessrequest": AccessRequest.objects.create(
            role=Group.objects.get(name=SUPPORT), role_name=SUPPORT, requested_by=root, requested_at=now
        ),
        "superuser": root,
        "auth_group": Group.objects.get(name=SUPPORT),
    }
