"""The project as a Django app, so that its system checks are registered before the first command runs."""

from django.apps import AppConfig, apps
from django.db.models.signals import pre_migrate


class HubConfig(AppConfig):
    """The app of the project itself."""

    name = "integration_hub"
    verbose_name = "Integration Hub"

    def ready(self) -> None:
        """Register the checks, which importing them does, and the lookups, and record the schema with each
        `migrate`.
        """
        from database.lookups.integers import register_bounded_lookups
        from database.lookups.texts import register_text_lookups
        from integration_hub import checks, secret_checks  # noqa: F401
        from integration_hub.logs.error_reports import log_uncaught_errors
        from integration_hub.schema_version import APPS, record_schema

        log_uncaught_errors()
        register_bounded_lookups()
        register_text_lookups()
        # Django sends `pre_migrate` once for each app with models. This app has none, so one other app is the sender.
        pre_migrate.connect(record_schema, sender=apps.get_app_config(APPS[0]))
