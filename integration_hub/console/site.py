"""The admin site of the hub."""

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig


class ConsoleAdminConfig(AdminConfig):
    """Replaces Django's default admin site by ours."""

    default_site = "integration_hub.console.site.ConsoleSite"


class ConsoleSite(AdminSite):
    """Django's admin under our name."""

    site_header = "Integration Hub"
    site_title = "Integration Hub"
    index_title = "Console"
    enable_nav_sidebar = True
