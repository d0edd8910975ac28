"""Who may test connections: support, who is told to, and administrators. Repeating it takes nothing away."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations


def extend_roles(apps, schema_editor):
    alias = schema_editor.connection.alias
    # Django makes permissions after the last migration; the groups need them now.
    create_permissions(installed.get_app_config("sync"), verbosity=0, interactive=False, using=alias, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.using(alias)
    for role in ("support", "administrator"):
        group, _ = apps.get_model("auth", "Group").objects.using(alias).get_or_create(name=role)
        group.permissions.add(permissions.get(content_type__app_label="sync", codename="test_connection"))


class Migration(migrations.Migration):
    dependencies = [
        ("console", "0009_mapping_roles"),
        ("sync", "0013_connection_tests"),
    ]
    operations = [migrations.RunPython(extend_roles, migrations.RunPython.noop)]
