from django.apps import AppConfig


class SyncConfig(AppConfig):
    """Deliver: fetch, plan, apply, retry, replay."""

    name = "sync"
    verbose_name = "Deliveries"

    def ready(self) -> None:
        """Share refused log-ins among all processes."""
        from sync.connectors.client.log_in_guard import use_log_in_guard
        from sync.limits.log_in_attempts import StoredGuard

        use_log_in_guard(StoredGuard())
