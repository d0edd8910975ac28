"""Where a stream ends is what its last entry says: nothing is kept beside it any more, for it cost every webhook."""

from django.db import migrations

ENDS = (
    "INSERT INTO audit_head (stream, seq, added) SELECT stream, MAX(stream_seq), 1 FROM audit_entry "
    "WHERE stream_seq IS NOT NULL GROUP BY stream",
    "INSERT INTO audit_head (stream, seq, added) SELECT stream, seq, 1 FROM audit_stub "
    "WHERE stream NOT IN (SELECT stream FROM audit_head)",
)


def fill(apps, schema_editor):
    for statement in ENDS:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("audit", "0010_chain_what_is_not")]
    operations = [
        migrations.RunPython(migrations.RunPython.noop, fill),
        migrations.DeleteModel("Head"),
    ]
