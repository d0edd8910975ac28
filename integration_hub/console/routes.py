"""Routes: which events go where."""

from django.contrib import admin

from integration_hub.console.confirming import ConfirmedAdmin
from integration_hub.console.json_fields import JSON_AS_TEXT
from sync.models import Route


@admin.register(Route)
class RouteAdmin(ConfirmedAdmin):
    """Source and entity type → connections, mapping and policy. Sources, connections and mappings are few."""

    kind = "route"
    formfield_overrides = JSON_AS_TEXT
    list_display = ("source", "entity_type", "identity", "commercial", "mapping", "is_enabled")
    list_display_links = ("entity_type",)
    list_select_related = ("source", "identity", "commercial", "mapping")
