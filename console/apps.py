from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The admin site and its pages: the only place that shows events, deliveries and audit together."""

    name = "console"
    label = "console"
    verbose_name = "Console"
