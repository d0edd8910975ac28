"""Chain what was written before there were chains: in the order of ids, 500 rows a transaction.

It can be interrupted and run again. There is no way back for the bodies: what was added to them stays.
"""

from django.db import migrations


def chain(apps, schema_editor):
    from audit.chaining import chain_unchained

    chain_unchained()


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("audit", "0009_retention")]
    operations = [migrations.RunPython(chain, migrations.RunPython.noop)]
