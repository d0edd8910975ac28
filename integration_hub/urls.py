"""All addresses of the hub, and the only place where receiving gets the service that delivers events."""

from django.contrib import admin
from django.urls import path, re_path
from django.views.generic import RedirectView

from integration_hub.health import show_health
from sync.delivery_service import DeliveryService
from webhooks.delivery_port import DeliveryPort
from webhooks.views import OutcomeView, WebhookView, problem_page

delivery_port: DeliveryPort = DeliveryService()

urlpatterns = [
    re_path(r"^webhooks/(?P<slug>[^/]+)/?\Z", WebhookView.as_view(delivery_port=delivery_port), name="inbox"),
    re_path(
        r"^outcomes/(?P<token>[^/]+)/?\Z", OutcomeView.as_view(delivery_port=delivery_port), name="outcome"
    ),
    re_path(r"^problems/(?P<code>[^/]+)/?\Z", problem_page, name="problem"),
    path("health", show_health, name="health"),
    path("admin", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(url="/admin/")),
]
