"""Create the pepper under which pseudonyms of subjects are made, once for each database."""

import os

from django.db import migrations

from database.encryption.at_rest import encrypt


def create_pepper(apps, schema_editor):
    peppers = apps.get_model("webhooks", "Pepper").objects.using(schema_editor.connection.alias)
    if not peppers.exists():
        peppers.create(encrypted=encrypt(os.urandom(32)))


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0001_initial")]
    operations = [migrations.RunPython(create_pepper, migrations.RunPython.noop)]
