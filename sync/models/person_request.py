"""Requests of people about deliveries: to replay one event at once or thousands over time, to approve, to close."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext_lazy as _

from webhooks.models import Event


class PersonRequestKind(models.TextChoices):
    """The kind of a person's request."""

    REPLAY = "replay", _("replay")
    APPROVAL = "approval", _("approval")
    CLOSING = "closing", _("closing")


class PersonRequestState(models.TextChoices):
    """The progress of a request. A replay of a single event, and a decision about held deliveries, is finished at once.

    `stopping`: no more events are sent, and some are still in progress.
    """

    CHOOSING = "choosing", _("being counted")
    CHOSEN = "chosen", _("not confirmed yet")
    AWAITING = "awaiting", _("waiting for a second person")
    RUNNING = "running", _("running")
    PAUSED = "paused", _("paused")
    STOPPING = "stopping", _("stopping")
    STOPPED = "stopped", _("stopped")
    FINISHED = "finished", _("finished")


class ReplayPace(models.TextChoices):
    """The speed of a bulk replay. `first`: one event, then it pauses. `answered`: gentle, and only while both systems
    of an event respond.
    """

    GENTLE = "gentle", _("gentle")
    NORMAL = "normal", _("normal")
    FIRST = "first", _("send one first, then pause")
    ANSWERED = "answered", _("gentle, once the system answers again")


class ReplayPauseReason(models.TextChoices):
    """The reason that a bulk replay is paused."""

    PERSON = "person", _("by a person")
    FIRST = "first", _("the first event has ended")
    FAILING = "failing", _("too many failed again")
    CRASHING = "crashing", _("sending it crashes the worker")


class PersonRequest(models.Model):
    """A person's request about deliveries, with a reason: a replay of one event or thousands, or a decision about held
    deliveries. An approval sends them, a closing ends them.

    The events of a bulk replay are `PersonRequestMember` rows: a frozen set, made from a resolved `filter` up to the
    event `last_event_id`, or from selected events. The commits that change members update the counts. `due_at` is a
    time of the database's clock.
    """

    uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    kind = models.CharField(max_length=12, choices=PersonRequestKind, default=PersonRequestKind.REPLAY)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500)
    created_at = models.DateTimeField()
    events = models.PositiveIntegerField(default=0, help_text="sent again, approved or closed")
    deliveries = models.PositiveIntegerField(default=0)
    state = models.CharField(
        max_length=10,
        choices=PersonRequestState,
        default=PersonRequestState.FINISHED,
    )
    filter = models.JSONField(null=True, help_text="resolved; empty: events that were chosen one by one")
    last_event_id = models.BigIntegerField(null=True, help_text="the newest event there was")
    cursor_at = models.DateTimeField(null=True, help_text="how far its events are counted")
    cursor_id = models.BigIntegerField(null=True)
    frozen_at = models.DateTimeField(null=True)
    total = models.PositiveIntegerField(default=0, help_text="events in the frozen set")
    skipped = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    held = models.PositiveIntegerField(default=0)
    retrying = models.PositiveIntegerField(default=0, help_text="events that failed and have a retry ahead")
    first_failures = models.PositiveIntegerField(
        default=0,
        help_text="events whose first attempt failed, whatever their retries did: too many pause it",
    )
    # Without an index: both are read from the request only. The models of comparisons are below this one.
    comparison = models.ForeignKey(
        "sync.Comparison",
        models.SET_NULL,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
        help_text="whose differences it makes equal; empty: it sends stored events",
    )
    route = models.ForeignKey(
        "sync.Route",
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="for which it makes them equal",
    )
    pace = models.CharField(max_length=8, choices=ReplayPace, blank=True, default="")
    pauses_above = models.PositiveSmallIntegerField(
        null=True,
        help_text="percent of those tried whose first attempt failed; empty: it never pauses by itself",
    )
    seen_tried = models.PositiveIntegerField(
        default=0, help_text="events tried when a person last resumed it: counted from there"
    )
    seen_failed = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(null=True, help_text="when the next is sent")
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="the second person, who approved or declined it",
    )
    decided_at = models.DateTimeField(null=True)
    pause_reason = models.CharField(max_length=8, choices=ReplayPauseReason, blank=True, default="")
    paused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="who paused or stopped it; empty: the hub",
    )

    class Meta:
        # The word of the pages, for all three kinds.
        verbose_name = "replay"
        default_permissions = ("view",)
        permissions = [
            ("approve_replay", "Can approve replays above another user's limit"),
            ("replay_many", "Can replay up to the higher limit without approval"),
            ("replay_older", "Can overwrite newer data with a payload as received"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(decided_by=None) | ~models.Q(decided_by=models.F("requested_by")),
                name="a_second_person_approves",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(state="awaiting"), name="person_request_awaiting"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}: {self.reason}"

    @contextmanager
    def stored_once(self, repeated: Exception) -> Iterator[None]:
        """Run a block in one transaction with the insertion of this row. Raises `repeated` if it was stored before: by
        the first of two clicks, for example.
        """
        try:
            with transaction.atomic():
                # Inserted first: the unique key makes a second click fail before it changes anything.
                self.save(force_insert=True)
                yield
        except IntegrityError as error:
            if PersonRequest.objects.filter(uuid=self.uuid).exists():
                raise repeated from error
            raise

    @property
    def stream(self) -> str:
        """Return its stream of the audit log."""
        return f"person-request:{self.uuid}"

    @property
    def makes_equal(self) -> bool:
        """True if it makes differences equal: its members are entities until they are sent."""
        return self.route_id is not None

    @property
    def is_bulk(self) -> bool:
        """True if its events are sent over time."""
        return self.frozen_at is not None or self.state == PersonRequestState.CHOOSING

    @property
    def ended_count(self) -> int:
        """Return how many of the events sent have ended."""
        return self.succeeded + self.failed + self.held

    @property
    def tried_count(self) -> int:
        """Return how many of the events sent have had their first attempt."""
        return self.ended_count + self.retrying

    @property
    def in_progress_count(self) -> int:
        """Return how many of the events sent have not had their first attempt."""
        return self.events - self.tried_count

    @property
    def waiting_count(self) -> int:
        """Return how many events are neither sent nor skipped."""
        return self.total - self.skipped - self.events


class MemberState(models.TextChoices):
    """The state of an event in a bulk replay. `held`: the mass-change guard asks for approval. `retrying`: it failed,
    and its delivery is still open, so it has no result.
    """

    WAITING = "waiting", _("waiting")
    SKIPPED = "skipped", _("skipped")
    SENT = "sent", _("in progress")
    RETRYING = "retrying", _("failed, will be retried")
    SUCCEEDED = "succeeded", _("succeeded")
    FAILED = "failed", _("failed again")
    HELD = "held", _("held for approval")


class SkipReason(models.TextChoices):
    """The reason that an event was not sent again."""

    NEWER = "newer", _("a newer event for the same entity already succeeded")
    DELETED = "deleted", _("the entity no longer exists")
    ERASED = "erased", _("the entity was erased")
    UNROUTED = "unrouted", _("no route for this event")
    OTHER_REPLAY = "other-replay", _("already part of another replay")
    SUCCEEDED = "succeeded", _("it succeeded in the meantime")
    IN_DELIVERY = "in-delivery", _("a delivery for the entity has not ended")
    OBSERVES = "observes", _("the route observes")
    LATER = "later", _("left for another replay")


class PersonRequestMember(models.Model):
    """One event of a bulk replay. `why`: the reason it was skipped, or the code with which it failed.

    A member that makes a difference equal has no event until it is sent: it has the entity and the type of the event
    that is made then.
    """

    person_request = models.ForeignKey(PersonRequest, models.CASCADE, related_name="members", db_index=False)
    event = models.ForeignKey(Event, models.CASCADE, null=True, related_name="+", db_index=False)
    entity_id = models.CharField(max_length=128, blank=True, default="", help_text="empty: it has an event")
    event_type = models.CharField(max_length=64, blank=True, default="")
    state = models.CharField(max_length=10, choices=MemberState, default=MemberState.WAITING)
    why = models.CharField(max_length=48, blank=True)
    at = models.DateTimeField(help_text="of its state")

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["person_request", "event"], name="once_a_request"),
            models.UniqueConstraint(
                fields=["person_request", "entity_id"],
                condition=~models.Q(entity_id=""),
                name="entity_once_a_request",
            ),
            models.CheckConstraint(
                condition=models.Q(event__isnull=False) | ~models.Q(entity_id=""),
                name="member_is_event_or_entity",
            ),
        ]
        indexes = [
            models.Index(fields=["person_request", "state", "event"], name="member_state"),
            models.Index(fields=["event", "state"], name="member_event"),
            models.Index(fields=["person_request", "at", "id"], name="member_at"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} in {self.person_request_id}: {self.state}"
