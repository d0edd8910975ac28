"""What of the log is kept no longer. Without effect on what is proved: segments keep the hash of each entry."""

from django.db import models


class Cut(models.Model):
    """The entries of this segment and of all before it may be deleted, for an entry of the log says so."""

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
    """The last entry of a stream that is kept no longer: the next one of the stream continues it."""

    stream = models.CharField(max_length=80, primary_key=True)
    seq = models.BigIntegerField()
    leaf = models.BinaryField()
    segment = models.BigIntegerField(help_text="that has the leaf")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.stream} ({self.seq})"
