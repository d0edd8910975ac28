"""What one person did, and what was done about anything but events and deliveries, each in the order of time.

No webhook writes to these indexes.
"""

from django.db import migrations, models
from django.db.models.functions import Left, StrIndex

AT = (models.F("at").desc(), models.F("id").desc())


class Migration(migrations.Migration):
    dependencies = [("audit", "0007_leaner_indexes")]
    operations = [
        migrations.AddIndex(
            "entry",
            models.Index(
                models.F("actor"),
                *AT,
                condition=models.Q(actor__startswith="person:"),
                name="audit_entry_person",
            ),
        ),
        migrations.AddIndex(
            "entry",
            models.Index(
                Left("stream", StrIndex("stream", models.Value(":")) - 1),
                *AT,
                condition=~models.Q(stream__startswith="event:") & ~models.Q(stream__startswith="delivery:"),
                name="audit_entry_apart",
            ),
        ),
    ]
