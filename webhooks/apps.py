from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    """The app that receives webhooks: verify, parse, store and answer."""

    name = "webhooks"
    verbose_name = "Webhooks"
