"""Who may approve large replays, and who may replay many or over newer data. Repeating it adds what is missing."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

ROLES = {
    "support": ["approve_replay"],
    "administrator": ["approve_replay", "replay_many", "replay_older"],
}


def extend_roles(apps, schema_editor):
    alias = schema_editor.connection.alias
    # Django makes permissions after the last migration; the groups need them now.
    create_permissions(installed.get_app_config("sync"), verbosity=0, interactive=False, using=alias, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.using(alias)
    for role, names in ROLES.items():
        group, _ = apps.get_model("auth", "Group").objects.using(alias).get_or_create(name=role)
        for codename in names:
            group.permissions.add(permissions.get(content_type__app_label="sync", codename=codename))


class Migration(migrations.Migration):
    dependencies = [
        ("console", "0010_test_roles"),
        ("sync", "0015_bulk_replay"),
    ]
    operations = [migrations.RunPython(extend_roles, migrations.RunPython.noop)]
