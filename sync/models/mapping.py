"""How an entity becomes a record, version by version."""

from django.core.exceptions import ValidationError
from django.db import models

from sync.mapping import MappingInvalid, parse_mapping


class Mapping(models.Model):
    """A named declaration: entity fields → record fields. Editing it makes a new version."""

    name = models.CharField(max_length=120, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def current(self) -> "MappingVersion":
        """The newest version. `MappingVersion.DoesNotExist` before the first."""
        return self.versions.latest("number")


class MappingVersion(models.Model):
    """One state of a mapping, never changed: an attempt names the version that it used."""

    mapping = models.ForeignKey(Mapping, models.PROTECT, related_name="versions", db_index=False)
    number = models.PositiveIntegerField()
    declaration = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint("mapping", "number", name="mapping_version_once")]

    def __str__(self) -> str:
        return f"{self.mapping.name}, version {self.number}"

    def clean(self) -> None:
        try:
            parse_mapping(self.declaration)
        except MappingInvalid as error:
            raise ValidationError({"declaration": str(error)}) from error
