"""Give the groups of staff the permissions of comparisons. A second run adds what is missing and removes nothing."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

GRANTS = {
    "support": ["run_comparison", "view_differences"],
    "auditor": ["view_differences"],
    "administrator": ["run_comparison", "view_differences"],
}


def grant_permissions(apps, schema_editor):
    alias = schema_editor.connection.alias
    # Django creates permissions after the last migration; the groups need them now.
    create_permissions(
        installed.get_app_config("sync"), verbosity=0, interactive=False, using=alias, apps=apps
    )
    permissions = apps.get_model("auth", "Permission").objects.using(alias)
    for group in apps.get_model("auth", "Group").objects.using(alias).filter(name__in=GRANTS):
        granted = permissions.filter(content_type__app_label="sync", codename__in=GRANTS[group.name])
        group.permissions.add(*granted)


class Migration(migrations.Migration):
    dependencies = [("console", "0002_roles"), ("sync", "0002_comparisons")]
    operations = [migrations.RunPython(grant_permissions, migrations.RunPython.noop)]
