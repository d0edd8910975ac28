"""`GET /health`: whether the hub can store and what waits, for a load balancer; all figures for monitors and staff."""

import hmac
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, JsonResponse

from audit.sealing.status import SealingStatus
from database.clock import read_clock
from sync.models import Alarm
from sync.monitoring.health_figures import HealthFigures, count_due_and_expired, measure_health
from webhooks.encryption.at_rest import CannotOpen, unseal
from webhooks.models import Pepper

MOST_ALARMS = 100


def health(request: HttpRequest) -> JsonResponse:
    """200 while the database answers, 503 otherwise. Counts end at 10,001.

    Everybody learns how many deliveries are due and how many leases have ended. The rest needs HEALTH_TOKEN as a
    bearer token, or a session of the console.
    """
    try:
        at = read_clock()
        due, expired = count_due_and_expired(at)
        more = _details(measure_health(at)) if _may_see_all(request) else {}
    except DatabaseError:
        return JsonResponse({"status": "storage-unavailable"}, status=503)
    response = JsonResponse({"status": "ok", "due": due, "expired": expired} | more)
    response["Cache-Control"] = "no-store"
    return response


def _may_see_all(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and settings.HEALTH_TOKEN:
        return hmac.compare_digest(token.strip().encode(), settings.HEALTH_TOKEN.encode())
    return bool(request.user.is_active and request.user.is_staff and request.user.has_perm("sync.view_alarm"))


def _details(figures: HealthFigures) -> dict[str, Any]:
    open_alarms = Alarm.objects.filter(ended_at=None).order_by("raised_at", "id")[:MOST_ALARMS]
    return {
        "at": figures.at,
        "opens_sealed": _opens_sealed(),
        "oldest_due_seconds": round(figures.oldest_due_seconds, 3),
        "dead": figures.dead,
        "held": figures.held,
        "sources": [
            {
                "name": each.name,
                "last_event_at": each.heard_at if each.has_sent else None,
                "silence_minutes": each.silence and each.silence / timedelta(minutes=1),
                "is_silent": each.is_silent(figures.at),
            }
            for each in figures.sources
        ],
        "paused": [
            {"name": each.name, "since": each.paused_at, "until": each.until, "code": each.code}
            for each in figures.paused
        ],
        "audit": _audit(figures.audit),
        "alarms": [
            {
                "kind": each.kind,
                "subject": each.subject,
                "name": each.name,
                "since": each.began_at,
                "snoozed_until": each.snoozed_until,
            }
            for each in open_alarms
        ],
    }


def _opens_sealed() -> bool:
    """Whether this process knows the key that seals; by the one value that every hub has sealed."""
    try:
        for sealed in Pepper.objects.values_list("sealed", flat=True):
            unseal(bytes(sealed))
    except CannotOpen:
        return False
    return True


def _audit(audit: SealingStatus) -> dict[str, Any]:
    """How far the audit log is sealed, verified by the nightly look, and told outside."""
    verified = audit.verified
    return {
        "segments": audit.segments,
        "sealed_at": audit.sealed_at,
        "unsealed_since": audit.unsealed_since,
        "late_at": audit.late_at,
        "verified": {"segments": verified.segments, "at": verified.at, "faults": verified.faults}
        if verified
        else None,
        "checkpoints": [
            {
                "way": each.name,
                "segments": each.count,
                "at": each.told_at,
                "failing_since": each.failing_since,
                "failure": each.failure,
            }
            for each in audit.outlets
        ],
    }
