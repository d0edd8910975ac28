"""`GET /metrics`: what Prometheus scrapes, for whoever has METRICS_TOKEN. For everybody else there is no such page."""

import platform

import django
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

import integration_hub
from database.response_limit import limited_responses
from sync.metrics import declared
from sync.metrics.exposition import Samples, expose, may_read_metrics
from sync.monitoring.metric_figures import figure_reader


def show_metrics(request: HttpRequest) -> HttpResponse:
    """Return all metrics; those of the processes also while the database is away.

    Raises Http404 without the token, whatever the method.
    """
    if not may_read_metrics(request.headers.get("Authorization", "")):
        raise Http404
    return _expose_all(request)


@require_safe
def _expose_all(request: HttpRequest) -> HttpResponse:
    exposed = expose(request.headers.get("Accept", ""), _read_samples())
    headers = {"Cache-Control": "no-store"}
    return HttpResponse(exposed.body, content_type=exposed.content_type, headers=headers)


def _read_samples() -> Samples:
    versions = (
        integration_hub.__version__,
        platform.python_version(),
        django.get_version(),
        connections[DEFAULT_DB_ALIAS].vendor,
    )
    samples = {declared.BUILD_INFO: [(versions, 1.0)]}
    try:
        with limited_responses(settings.RESPONSE_SECONDS):
            return samples | {declared.DATABASE_UP: [((), 1.0)]} | dict(figure_reader.read())
    except DatabaseError:
        return samples | {declared.DATABASE_UP: [((), 0.0)]}
