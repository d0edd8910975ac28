"""Tables of pruned entries. Proofs are not affected: segments keep the hash of each entry."""

from django.db import models


class Cut(models.Model):
    """A permission to delete the entries of this segment and of all before it, announced by an entry of the log."""

    segment = models.BigIntegerField(primary_key=True)
    highest_id = models.BigIntegerField(
        help_text="in these segments: the database lets no higher one be deleted"
    )
    entry_id = models.BigIntegerField(help_text="of the entry that says so")
    emptied = models.BigIntegerField(help_text="number of the segment up to which all entries are deleted")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"segments 1 to {self.segment}"


class Stub(models.Model):
    """The last pruned entry of a stream, which the next entry of the stream continues."""

    stream = models.CharField(max_length=80, primary_key=True)
    seq = models.BigIntegerField()
    leaf = models.BinaryField()
    segment = models.BigIntegerField(help_text="that has the leaf")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.stream} ({self.seq})"
