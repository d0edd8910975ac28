"""What each group of staff may do about protection. Repeating it adds what is missing and takes nothing away."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

DECIDES = ["sync.approve_delivery", "sync.view_alarm", "sync.snooze_alarm", "sync.view_breaker"]
ROLES = {
    "support": DECIDES,
    "administrator": DECIDES,
    "auditor": ["sync.view_alarm", "sync.view_breaker"],
}


def extend_roles(apps, schema_editor):
    alias = schema_editor.connection.alias
    # Django makes permissions after the last migration; the groups need them now.
    create_permissions(installed.get_app_config("sync"), verbosity=0, interactive=False, using=alias, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.using(alias)
    for role, names in ROLES.items():
        group, _ = apps.get_model("auth", "Group").objects.using(alias).get_or_create(name=role)
        for name in names:
            label, codename = name.split(".")
            group.permissions.add(permissions.get(content_type__app_label=label, codename=codename))


class Migration(migrations.Migration):
    dependencies = [
        ("console", "0001_roles"),
        ("sync", "0005_replay_kind"),
    ]
    operations = [migrations.RunPython(extend_roles, migrations.RunPython.noop)]
