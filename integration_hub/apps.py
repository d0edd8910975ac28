"""The wiring as an app of its own, so that its system checks are known before the first command runs."""

from django.apps import AppConfig, apps
from django.db.models.signals import pre_migrate


class HubConfig(AppConfig):
    name = "integration_hub"
    verbose_name = "Integration Hub"

    def ready(self) -> None:
        """Register the checks, which importing them does, and record the schema with each `migrate`."""
        from integration_hub import checks  # noqa: F401
        from integration_hub.schema_version import APPS, record_schema

        # One sender of many, so that it runs once; Django sends for apps with models only, which this one is not.
        pre_migrate.connect(record_schema, sender=apps.get_app_config(APPS[0]))
