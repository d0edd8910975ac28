from django.apps import AppConfig


class SyncConfig(AppConfig):
    """Deliver: fetch, plan, apply, retry, replay."""

    name = "sync"
    verbose_name = "Deliveries"

    def ready(self) -> None:
        """Share refused log-ins and refreshed tokens among all processes, and limit what this one may contact."""
        from django.conf import settings

        from connectors.auth.log_in_guard import use_log_in_guard
        from connectors.auth.refresh_tokens import use_refresh_token_store
        from connectors.http.egress import use_egress_policy
        from sync.limits.log_in_attempts import StoredGuard
        from sync.limits.stored_refresh_tokens import StoredRefreshTokens

        use_log_in_guard(StoredGuard())
        use_refresh_token_store(StoredRefreshTokens())
        use_egress_policy(settings.EGRESS_POLICY)
