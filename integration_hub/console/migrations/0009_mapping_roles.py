"""Who may put a mapping in force. Repeating it adds what is missing and takes nothing away."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

ROLES = {"administrator": ["activate_mapping"]}


def extend_roles(apps, schema_editor):
    alias = schema_editor.connection.alias
    # Django makes permissions after the last migration; the groups need them now.
    create_permissions(installed.get_app_config("sync"), verbosity=0, interactive=False, using=alias, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.using(alias)
    for role, names in ROLES.items():
        group, _ = apps.get_model("auth", "Group").objects.using(alias).get_or_create(name=role)
        for name in names:
            group.permissions.add(permissions.get(content_type__app_label="sync", codename=name))


class Migration(migrations.Migration):
    dependencies = [("console", "0008_care_roles"), ("sync", "0011_mapping_drafts")]
    operations = [migrations.RunPython(extend_roles, migrations.RunPython.noop)]
