"""The three groups of staff. Repeating it adds what is missing and takes nothing away that people added."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

EVENTS = [
    "webhooks.view_event",
    "webhooks.view_receipt",
    "webhooks.view_refusal",
    "webhooks.view_source",
    "sync.view_delivery",
    "sync.view_attempt",
    "sync.view_call",
    "sync.view_link",
    "sync.view_replay",
    "sync.view_connection",
    "sync.view_route",
    "sync.view_mapping",
    "sync.view_mappingversion",
]
CONFIGURED = [
    "webhooks.source",
    "webhooks.sourcesecret",
    "sync.connection",
    "sync.route",
    "sync.mapping",
    "sync.mappingversion",
    "auth.user",
    "auth.group",
]
CONFIGURATION = [
    name.replace(".", f".{verb}_") for name in CONFIGURED for verb in ("add", "change", "delete", "view")
]
ROLES = {
    "support": [*EVENTS, "webhooks.replay_event", "webhooks.view_contents"],
    "auditor": [*EVENTS, "webhooks.download_event", "audit.view_entry", "audit.download_entry"],
    "administrator": [
        *EVENTS,
        *CONFIGURATION,
        "webhooks.replay_event",
        "webhooks.download_event",
        "audit.view_entry",
        "audit.download_entry",
    ],
}


def make_roles(apps, schema_editor):
    alias = schema_editor.connection.alias
    _make_permissions(apps, alias)
    permissions = apps.get_model("auth", "Permission").objects.using(alias)
    for role, names in ROLES.items():
        group, _ = apps.get_model("auth", "Group").objects.using(alias).get_or_create(name=role)
        for name in dict.fromkeys(names):
            label, codename = name.split(".")
            group.permissions.add(permissions.get(content_type__app_label=label, codename=codename))


def _make_permissions(apps, alias):
    """Django makes permissions after the last migration; the groups need them now."""
    for label in ("auth", "audit", "webhooks", "sync"):
        config = installed.get_app_config(label)
        create_permissions(config, verbosity=0, interactive=False, using=alias, apps=apps)


class Migration(migrations.Migration):
    dependencies = [
        ("contenttypes", "0002_remove_content_type_name"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("audit", "0001_entry"),
        ("webhooks", "0001_initial"),
        ("sync", "0001_initial"),
    ]
    operations = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
