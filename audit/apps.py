from django.apps import AppConfig


class AuditConfig(AppConfig):
    """The audit log. Imports nothing of the other packages but `database`."""

    name = "audit"
    verbose_name = "Audit"
