"""How fast somebody may go, over all processes."""

from django.db import models


class Pace(models.Model):
    """What is spent of a rate: `free_at` is the moment at which everything granted so far would be used up.

    (GCRA, the generic cell rate algorithm of ITU-T I.371: a leaky bucket in one number. By the database's clock.)
    """

    key = models.CharField(max_length=80, primary_key=True, help_text="source:… or connection:…")
    free_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.key
