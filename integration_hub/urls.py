"""All URLs of the hub. Only this module gives receiving the service that delivers events."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpResponseBase
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from django.views.generic import RedirectView

from integration_hub.probes.answers import HEALTH_PATH, LIVE_PATH, METRICS_PATH, READY_PATH
from integration_hub.probes.health import show_health
from integration_hub.probes.metrics import show_metrics
from integration_hub.probes.readiness import show_live, show_ready
from sync.delivery_service import DeliveryService
from webhooks.delivery_port import DeliveryPort
from webhooks.views import OutcomeView, WebhookView, problem_page

delivery_port: DeliveryPort = DeliveryService()
# The pages of the console register themselves with its site.
admin.autodiscover()


def read_only(view: Callable[..., HttpResponseBase]) -> Callable[..., Any]:
    """Return a view that answers 405 to all methods but GET and HEAD. It changes nothing, so it needs no CSRF token."""
    return csrf_exempt(require_safe(view))


urlpatterns = [
    re_path(r"^webhooks/(?P<slug>[^/]+)/?\Z", WebhookView.as_view(delivery_port=delivery_port), name="inbox"),
    re_path(
        r"^outcomes/(?P<token>[^/]+)/?\Z", OutcomeView.as_view(delivery_port=delivery_port), name="outcome"
    ),
    re_path(r"^problems/(?P<code>[^/]+)/?\Z", read_only(problem_page), name="problem"),
    path(LIVE_PATH[1:], read_only(show_live), name="live"),
    path(READY_PATH[1:], read_only(show_ready), name="ready"),
    path(HEALTH_PATH[1:], read_only(show_health), name="health"),
    # To strangers it is an unknown path, by every method.
    path(METRICS_PATH[1:], csrf_exempt(show_metrics), name="metrics"),
    path("admin", read_only(RedirectView.as_view(url="/admin/"))),
    path("admin/", admin.site.urls),
    path("", read_only(RedirectView.as_view(url="/admin/"))),
]
