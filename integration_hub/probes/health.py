"""`GET /health`: whether the database responds, for everybody; all figures for monitors and staff."""

import hmac
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, JsonResponse

from audit.sealing.status import SealingStatus
from database.clock import read_clock
from database.response_limit import limited_responses
from integration_hub import __version__
from integration_hub.probes.readiness import can_decrypt
from sync.models import Alarm
from sync.monitoring.health_figures import HealthFigures, measure_health

MAX_ALARMS = 100
_NOT_STORED = {"Cache-Control": "no-store"}


def show_health(request: HttpRequest) -> JsonResponse:
    """Return 200 if the database responds, otherwise 503.

    The figures need HEALTH_TOKEN as a bearer token, or a session of the console with the permission to view alarms.
    Counts end at 10,001.
    """
    try:
        with limited_responses(settings.RESPONSE_SECONDS):
            at = read_clock()
            details = _build_details(measure_health(at)) if _may_see_figures(request) else {}
    except DatabaseError:
        return JsonResponse({"status": "storage-unavailable"}, status=503, headers=_NOT_STORED)
    return JsonResponse({"status": "ok"} | details, headers=_NOT_STORED)


def _may_see_figures(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and settings.HEALTH_TOKEN:
        return hmac.compare_digest(token.strip().encode(), settings.HEALTH_TOKEN.encode())
    return bool(request.user.is_active and request.user.is_staff and request.user.has_perm("sync.view_alarm"))


def _build_details(figures: HealthFigures) -> dict[str, Any]:
    open_alarms = Alarm.objects.filter(ended_at=None).order_by("raised_at", "id")[:MAX_ALARMS]
    return {
        "version": __version__,
        "at": figures.at,
        "opens_sealed": can_decrypt(),
        "due": figures.due,
        "expired": figures.expired,
        "oldest_due_seconds": round(figures.oldest_due_seconds, 3),
        "dead": figures.dead,
        "held": figures.held,
        "sources": [
            {
                "name": source.name,
                "last_event_at": source.silent_since if source.has_sent else None,
                "silence_minutes": source.silence and source.silence / timedelta(minutes=1),
                "is_silent": source.is_silent(figures.at),
            }
            for source in figures.sources
        ],
        "paused": [
            {
                "name": connection.name,
                "since": connection.paused_at,
                "until": connection.until,
                "code": connection.code,
            }
            for connection in figures.paused
        ],
        "client_certificates": [
            {
                "connection": certificate.name,
                "expires_at": certificate.expires_at,
                "expires_in_seconds": round((certificate.expires_at - figures.at).total_seconds()),
            }
            for certificate in figures.certificates
        ],
        "audit": _build_audit_status(figures.audit),
        "alarms": [
            {
                "kind": alarm.kind,
                "subject": alarm.subject,
                "name": alarm.name,
                "since": alarm.began_at,
                "snoozed_until": alarm.snoozed_until,
            }
            for alarm in open_alarms
        ],
    }


def _build_audit_status(audit: SealingStatus) -> dict[str, Any]:
    """Return how far the audit log is sealed, verified by the nightly check, and published in checkpoints."""
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
                "channel": channel.name,
                "segments": channel.count,
                "at": channel.sent_at,
                "failing_since": channel.failing_since,
                "failure": channel.failure,
            }
            for channel in audit.channels
        ],
    }
