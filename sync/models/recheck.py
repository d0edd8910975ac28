"""Re-checks: attempts that read a record again after a write that may still arrive, or after an outdated entity."""

from django.conf import settings
from django.db import models

from database.model_rows import new_row
from database.row_ids import id_bound
from database.values import NOW, DatabaseTime
from sync.models.attempt import Attempt
from sync.models.delivery import Delivery
from webhooks.models import indexes_where_set


class Recheck(models.Model):
    """The re-checks of one attempt, whose write may reach the target after a newer one, or which delivered a state of
    the entity from before its event.

    The delays of RECHECK_SECONDS count from `began_at`. One check after the other runs: `delivery` is made due again,
    and its attempts from `first_number` on say whether the record differed. All times but `confirmed_at` are of the
    database's clock.
    """

    attempt = models.OneToOneField(Attempt, models.PROTECT, related_name="recheck", db_constraint=False)
    began_at = models.DateTimeField()
    due_at = models.DateTimeField(
        null=True, help_text="the next check; empty while one runs, and after the last"
    )
    delivery = models.ForeignKey(
        Delivery,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
        help_text="that checks now",
    )
    first_number = models.PositiveSmallIntegerField(null=True, help_text="of the attempts of that delivery")
    checked_at = models.DateTimeField(null=True, help_text="the newest check was made due")
    confirmed_at = models.DateTimeField(null=True, help_text="a check found the newest data")
    repaired_by = models.ForeignKey(
        Attempt,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
        help_text="the check that found other data, and sent the newest again",
    )

    class Meta:
        default_permissions = ()
        constraints = [
            id_bound("recheck"),
            models.CheckConstraint(
                condition=models.Q(due_at=None) | models.Q(delivery=None), name="recheck_due_or_running"
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at", "id"], condition=models.Q(due_at__isnull=False), name="recheck_due"
            ),
            *indexes_where_set("recheck", "delivery", "repaired_by"),
        ]

    def __str__(self) -> str:
        return f"re-check of attempt {self.attempt_id}"


def new_recheck(attempt: Attempt) -> Recheck:
    """Return the re-checks of an attempt that has ended, to be inserted in the commit that ends it."""
    return new_row(
        Recheck, attempt=attempt, began_at=NOW, due_at=DatabaseTime(seconds=settings.RECHECK_SECONDS[0])
    )
