"""Random histories of a hub, and what they come to by a plain GROUP BY over everything."""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import transaction

from sync.deliveries.event_state import refresh_event_states
from sync.deliveries.routes import resolved_routes
from sync.models import (
    OPEN_STATES,
    CallCount,
    Delivery,
    EventCount,
    FailureCount,
    FailureGroup,
    MappingVersion,
    Route,
)
from sync.models.counts import start_of_hour
from sync.operations.failure_groups import refresh_failure_groups
from sync.operations.held_deliveries import HeldDecision, decide_held
from sync.replays.requests import ReplayAlreadyRequested, request_replay
from sync.statistics.periodic_recount import recount_stale_hours
from tests.support.builders.history import NOON, a_call, a_delivery, a_route, a_source, an_attempt, an_event
from webhooks.models import Event, State

CODES = ("target-unavailable", "target-rejected", "unmappable", "identity-timeout")
ENDS = (State.SUCCEEDED, State.UNCHANGED, State.SUPERSEDED, State.DEAD, State.RETRYING, State.HELD)


@dataclass
class History:
    """A hub with a random history that a seed determines. `now` advances with it."""

    dice: random.Random
    by: User
    now: datetime = NOON
    routes: list[Route] = field(default_factory=list)

    def begin(self) -> None:
        for slug in ("aurora", "borealis"):
            source = a_source(slug)
            self.routes.append(Route.objects.filter(source=source).first() or a_route(source))
        MappingVersion.objects.update(declaration={"fields": {"email": {"path": "entity.email"}}})
        resolved_routes.invalidate()

    def step(self) -> None:
        """Add one random occurrence."""
        deeds: list[Callable[[], Any]] = [self.arrive, self.arrive, self.settle, self.settle, self.settle]
        deeds += [self.replay, self.decide, self.pass_time, self.look]
        self.dice.choice(deeds)()

    def arrive(self) -> None:
        """Add an event, mostly of now, sometimes stored minutes after its time."""
        route = self.dice.choice(self.routes)
        at = self.now - timedelta(seconds=self.dice.choice([0, 0, 1, 600]))
        known = self.dice.random() < 0.8
        event = an_event(
            self.dice.randrange(10**9),
            source=route.source,
            entity_type="USER" if known else self.dice.choice(["GROUP", "SOMETHING"]),
            event_type=self.dice.choice(["CREATE", "UPDATE", "DELETE", "moved", "merged"]),
            received_at=at,
            state=State.PENDING if known else State.IGNORED,
            code="" if known else "ignored",
        )
        if known:
            a_delivery(event, route)
            if self.dice.random() < 0.3:
                other = next(candidate for candidate in self.routes if candidate != route)
                a_delivery(event, other)

    def settle(self) -> None:
        """End an open delivery at random, in one of the two ways of the hub."""
        delivery = self._one(Delivery.objects.filter(state__in=[State.PENDING, State.RETRYING]))
        if delivery is None:
            return
        state = self.dice.choice(ENDS)
        code = self.dice.choice(CODES) if state in (State.DEAD, State.RETRYING) else str(state)
        settled = None if state in OPEN_STATES else self.now
        Delivery.objects.filter(pk=delivery.pk).update(
            state=state, code=code, settled_at=settled, replay=None
        )
        number = delivery.attempts.count() + 1
        attempt = an_attempt(delivery, number, started_at=self.now)
        for _ in range(self.dice.randrange(3)):
            seconds = self.dice.choice([None, 0.0004, 0.001, 0.03, 0.2, 4.0, 80.0])
            error = self.dice.choice(["", "", "target-timeout", "target-rejected"])
            a_call(attempt, seconds=seconds, error=error, request=None, response=None)
        if delivery.event.deliveries.count() == 1:
            Event.objects.filter(pk=delivery.event_id).update(state=state, code=code)
        else:
            with transaction.atomic():
                refresh_event_states([delivery.event_id])

    def replay(self) -> None:
        event = self._one(Event.objects.all())
        if event is not None:
            with suppress(ReplayAlreadyRequested):
                request_replay([event], by=self.by, reason="again")

    def decide(self) -> None:
        held = self._one(Delivery.objects.filter(state=State.HELD))
        if held is not None:
            decision = self.dice.choice(list(HeldDecision))
            decide_held([held.pk], decision, by=self.by, reason="so", key=uuid4())

    def pass_time(self) -> None:
        self.now += timedelta(minutes=self.dice.choice([1, 7, 20, 61]))

    def look(self) -> None:
        recount_stale_hours(self.now, seconds=60.0)
        refresh_failure_groups(self.now)

    def _one(self, rows: Any) -> Any:
        keys = list(rows.order_by("pk").values_list("pk", flat=True))
        return rows.model.objects.get(pk=self.dice.choice(keys)) if keys else None


def counted() -> dict[str, Any]:
    """Return the stored counts."""
    events = EventCount.objects.values_list(
        "hour", "source_id", "entity_type", "event_type", "state", "number"
    )
    failures = FailureCount.objects.values_list("hour", "connection_id", "code", "number")
    calls = CallCount.objects.all()
    return {
        "events": {tuple(key): number for *key, number in events},
        "failures": {tuple(key): number for *key, number in failures},
        "calls": {(count.hour, count.connection_id): (count.number, count.failed) for count in calls},
        "timed": sum(sum(count.durations) for count in calls),
        "successes": {
            (count.hour, count.connection_id): count.last_success_at
            for count in calls
            if count.last_success_at
        },
        "groups": {
            (group.connection_id, group.code): group.number
            for group in FailureGroup.objects.exclude(number=0)
        },
    }


def plain() -> dict[str, Any]:
    """Return the counts computed from all stored rows."""
    events = Counter(
        (
            start_of_hour(event.received_at),
            event.source_id,
            event.entity_type if event.entity_type == "USER" else "other",
            event.event_type if event.event_type in ("CREATE", "UPDATE", "DELETE") else "other",
            str(event.state),
        )
        for event in Event.objects.all()
    )
    dead = list(Delivery.objects.filter(state=State.DEAD).select_related("event"))
    found: dict[tuple[datetime, int], tuple[int, int]] = {}
    successes: dict[tuple[datetime, int], datetime] = {}
    calls = [
        call
        for delivery in Delivery.objects.all()
        for own in delivery.attempts.all()
        for call in own.calls.all()
    ]
    for call in calls:
        key = (start_of_hour(call.started_at), call.connection_id)
        number, failed = found.get(key, (0, 0))
        found[key] = (number + 1, failed + (call.error == "target-timeout"))
        if call.seconds is not None and not call.error:
            successes[key] = max(call.started_at, successes.get(key, call.started_at))
    return {
        "events": dict(events),
        "failures": dict(
            Counter(
                (start_of_hour(delivery.event.received_at), _blamed(delivery), delivery.code)
                for delivery in dead
            )
        ),
        "calls": found,
        "timed": sum(call.seconds is not None for call in calls),
        "successes": successes,
        "groups": dict(Counter((_blamed(delivery), delivery.code) for delivery in dead)),
    }


def _blamed(delivery: Delivery) -> int:
    return delivery.identity_id if delivery.code == "identity-timeout" else delivery.target_id
