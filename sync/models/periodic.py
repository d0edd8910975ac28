"""When work of the clock is due next."""

from django.db import models


class Periodic(models.Model):
    """One kind of periodic work (see `sync.periodic`). Moving `due_at` on by compare-and-set is taking it."""

    name = models.CharField(max_length=50, primary_key=True)
    due_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When it last ran to its end.")

    class Meta:
        default_permissions = ("view",)
        verbose_name_plural = "periodic work"

    def __str__(self) -> str:
        return self.name
