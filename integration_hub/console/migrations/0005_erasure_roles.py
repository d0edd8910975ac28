"""Who may erase: administrators; two of them for each erasure. Auditors find erasures on the audit log."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

ERASES = ["view_erasure", "erase_subject"]


def extend_roles(apps, schema_editor):
    alias = schema_editor.connection.alias
    # Django makes permissions after the last migration; the group needs them now.
    create_permissions(installed.get_app_config("sync"), verbosity=0, interactive=False, using=alias, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.using(alias)
    group, _ = apps.get_model("auth", "Group").objects.using(alias).get_or_create(name="administrator")
    for codename in ERASES:
        group.permissions.add(permissions.get(content_type__app_label="sync", codename=codename))


class Migration(migrations.Migration):
    dependencies = [
        ("console", "0004_export_roles"),
        ("sync", "0009_erasure"),
    ]
    operations = [migrations.RunPython(extend_roles, migrations.RunPython.noop)]
