from django.apps import AppConfig


class AuditConfig(AppConfig):
    """What happened, in order, provably. Knows nothing of the other packages."""

    name = "audit"
    verbose_name = "Audit"
