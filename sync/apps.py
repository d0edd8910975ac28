from django.apps import AppConfig


class SyncConfig(AppConfig):
    """Deliver: fetch, plan, apply, retry, replay."""

    name = "sync"
    verbose_name = "Deliveries"
