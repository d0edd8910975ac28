from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    """Receive: verify, parse, store, answer."""

    name = "webhooks"
    verbose_name = "Webhooks"
