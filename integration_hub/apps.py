"""The wiring as an app of its own, so that its system checks are known before the first command runs."""

from django.apps import AppConfig


class HubConfig(AppConfig):
    name = "integration_hub"
    verbose_name = "Integration Hub"

    def ready(self) -> None:
        """Register the checks; importing them is enough."""
        from integration_hub import checks  # noqa: F401
