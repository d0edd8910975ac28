"""Nothing any more: what was written before there were chains is chained by `0010`, when all its tables are there."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_chains")]
    operations = []
