"""The last segment that was sealed before a time is found without sorting all of them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0011_no_heads")]
    operations = [
        migrations.AddIndex(
            "segment", models.Index(fields=["-sealed_at", "-number"], name="audit_segment_at")
        ),
        migrations.RemoveIndex("segment", "audit_segment_sealed"),
    ]
