from django.apps import AppConfig


class ExportsConfig(AppConfig):
    """Exports of the event history and of lists."""

    name = "exports"
    verbose_name = "Exports"
