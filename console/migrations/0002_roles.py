"""Create the three groups of staff with their permissions. A second run adds what is missing and removes nothing."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

READ = {
    "webhooks": ["view_event", "view_receipt", "view_refusal", "view_source"],
    "sync": [
        "view_delivery",
        "view_attempt",
        "view_call",
        "view_link",
        "view_personrequest",
        "view_connection",
        "view_route",
        "view_mapping",
        "view_mappingversion",
        "view_alarm",
        "view_breaker",
        "view_failuregroup",
    ],
}
OPERATE = {
    "webhooks": ["replay_event"],
    "sync": [
        "approve_delivery",
        "close_delivery",
        "manage_failuregroup",
        "pause_connection",
        "snooze_alarm",
        "test_connection",
        "approve_replay",
    ],
    "console": ["share_view"],
}
AUDIT = {
    "webhooks": ["download_event"],
    "audit": ["view_entry", "download_entry"],
    "exports": ["view_export"],
}
CONFIGURE = {
    label: [f"{verb}_{model}" for model in models for verb in ("add", "change", "delete", "view")]
    for label, models in {
        "webhooks": ["source", "sourcesecret"],
        "sync": ["connection", "route", "mapping", "mappingversion"],
        "auth": ["group"],
    }.items()
}
# A login is switched off, never deleted.
PEOPLE = {"auth": ["add_user", "change_user", "view_user"]}
ROLES = {
    "support": [READ, OPERATE, {"webhooks": ["view_contents"]}],
    "auditor": [READ, AUDIT, {"exports": ["request_export"]}],
    "administrator": [
        READ,
        OPERATE,
        AUDIT,
        CONFIGURE,
        PEOPLE,
        {"webhooks": ["see_learning_requests"]},
        {"sync": ["view_erasure", "erase_subject", "activate_mapping", "replay_many", "replay_older"]},
    ],
}


def create_roles(apps, schema_editor):
    alias = schema_editor.connection.alias
    # Django creates permissions after the last migration; the groups need them now.
    for label in ("auth", "audit", "webhooks", "sync", "exports", "console"):
        config = installed.get_app_config(label)
        create_permissions(config, verbosity=0, interactive=False, using=alias, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.using(alias)
    for role, grants in ROLES.items():
        group, _ = apps.get_model("auth", "Group").objects.using(alias).get_or_create(name=role)
        for grant in grants:
            for label, codenames in grant.items():
                for codename in codenames:
                    group.permissions.add(permissions.get(content_type__app_label=label, codename=codename))


class Migration(migrations.Migration):
    dependencies = [
        ("contenttypes", "0002_remove_content_type_name"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("audit", "0001_initial"),
        ("webhooks", "0001_initial"),
        ("sync", "0001_initial"),
        ("exports", "0001_initial"),
        ("console", "0001_initial"),
    ]
    operations = [migrations.RunPython(create_roles, migrations.RunPython.noop)]
