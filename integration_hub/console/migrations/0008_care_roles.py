"""Who looks after failures: support and administrators. They close what was put right by hand; auditors read."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

TEND = ["view_failuregroup", "tend_failuregroup", "close_delivery"]
ROLES = {"support": TEND, "administrator": TEND, "auditor": ["view_failuregroup"]}


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
    dependencies = [("console", "0007_shared_view_roles"), ("sync", "0010_counts_and_failures")]
    operations = [migrations.RunPython(extend_roles, migrations.RunPython.noop)]
