"""Tables of sealed segments, the keys that sign them, and checkpoints."""

from django.db import models

from database.row_ids import id_bound


class SigningKey(models.Model):
    """A key that signs segments, checkpoints and manifests for a time.

    The private half is encrypted at rest and destroyed when the next key begins; `valid_until` is the beginning of that
    key. The database refuses every other change.
    """

    number = models.PositiveIntegerField(primary_key=True, help_text="1, 2, 3 … without gaps")
    key = models.CharField(
        max_length=32, unique=True, help_text="its id: the beginning of a hash of `public`"
    )
    public = models.BinaryField()
    private = models.BinaryField(null=True, help_text="sealed; destroyed when the next key begins")
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField(null=True)
    signature = models.BinaryField(help_text="by the key before; of the first, by itself")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"key {self.number}"


class Segment(models.Model):
    """Entries in the order of their ids: see `docs/audit-format.md`. Insert only.

    `hash`, `nodes` and `highest_id` follow from the rest: the segment's hash, the perfect subtrees of two segments and
    more that end with it, and the highest id in this segment and all before it.
    """

    number = models.BigIntegerField(primary_key=True, help_text="1, 2, 3 … without gaps")
    prev_hash = models.BinaryField(help_text="of the segment before")
    count = models.PositiveIntegerField(help_text="how many entries")
    ids = models.BinaryField(help_text="packed differences")
    leaves = models.BinaryField(help_text="32 bytes for each entry")
    root = models.BinaryField(help_text="of the tree over the leaves")
    sealed_at = models.DateTimeField()
    key_id = models.CharField(max_length=32)
    signature = models.BinaryField()
    is_late = models.BooleanField(default=False, help_text="found by the nightly check")
    hash = models.BinaryField()
    nodes = models.BinaryField()
    highest_id = models.BigIntegerField()

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(condition=models.Q(number__gt=0), name="segment_number_positive"),
            id_bound("segment", "number"),
            id_bound("segment", "highest_id"),
        ]
        indexes = [
            models.Index(fields=["-sealed_at", "-number"], name="audit_segment_at"),
            models.Index(fields=["highest_id"], name="audit_segment_highest"),
            models.Index(fields=["-number"], condition=models.Q(is_late=True), name="audit_segment_late"),
        ]

    def __str__(self) -> str:
        return f"segment {self.number}"


class Checkpoint(models.Model):
    """The signed number of segments and the root of the tree over them. Insert only."""

    count = models.BigIntegerField(primary_key=True, help_text="number of segments")
    root = models.BinaryField(help_text="of the tree over the segment hashes")
    head = models.BinaryField(help_text="hash of the last segment")
    at = models.DateTimeField()
    key_id = models.CharField(max_length=32)
    signature = models.BinaryField()

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"checkpoint {self.count}"
