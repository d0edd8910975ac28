"""Jobs: work of minutes or days, with its worker, its lease and its failures."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class JobState(models.TextChoices):
    """The progress of a job."""

    WAITING = "waiting", _("waiting for a worker")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


OPEN_JOB_STATES = (JobState.WAITING, JobState.RUNNING)


class Job(models.Model):
    """One job for one row of its kind: an export, a back-test, a bulk replay, an erasure.

    That row holds the work, its progress and its result; the job says only who may write them. `token` is the claim of
    the worker that runs it. All times are of the database's clock. `due_at` is empty while it runs, unless it was
    submitted again meanwhile.
    """

    kind = models.CharField(max_length=16, help_text="one of JOB_KINDS")
    subject = models.BigIntegerField(
        help_text="the key of the row that it is about, in the table of its kind"
    )
    state = models.CharField(max_length=10, choices=JobState, default=JobState.WAITING)
    submitted_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True, help_text="when a worker may claim it")
    ended_at = models.DateTimeField(null=True)
    token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    slot = models.PositiveSmallIntegerField(null=True, help_text="of a kind that runs so many times at once")
    deaths = models.PositiveSmallIntegerField(
        default=0, help_text="leases that ended since it last made progress"
    )
    errors = models.PositiveSmallIntegerField(default=0, help_text="since it last made progress")
    failure = models.CharField(max_length=200, blank=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=models.Q(state__in=["waiting", "running"]),
                name="one_open_job_a_subject",
            ),
            # NULL equals nothing, so jobs without a slot are not limited.
            models.UniqueConstraint(fields=["kind", "slot"], name="one_running_job_a_slot"),
            models.CheckConstraint(
                condition=models.Q(state="running", token__isnull=False, lease_until__isnull=False)
                | (~models.Q(state="running") & models.Q(token=None, lease_until=None, slot=None)),
                name="running_job_is_claimed",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="waiting") | models.Q(due_at__isnull=False),
                name="waiting_job_is_due",
            ),
        ]
        indexes = [
            models.Index(
                fields=["kind", "due_at"],
                condition=models.Q(state__in=["waiting", "running"]),
                name="job_open",
            ),
            models.Index(fields=["ended_at"], condition=models.Q(ended_at__isnull=False), name="job_ended"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"
