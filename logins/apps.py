from django.apps import AppConfig


class LoginsConfig(AppConfig):
    """Limits and counts of login attempts, who may be a second person, and logins and roles that stay."""

    name = "logins"
    verbose_name = "Logins"

    def ready(self) -> None:
        """Connect the signals that follow permissions and logins of people, and keep logins, usernames and roles."""
        # Django can import models from here on.
        import logins.fresh_login
        import logins.held_permissions
        import logins.overseers
        import logins.usernames  # noqa: F401
