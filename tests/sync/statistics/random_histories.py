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
    """A hub in which things happen at random, in the order that a seed says. `now` goes on with it."""

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
        """One thing more happens."""
        deeds: list[Callable[[], Any]] = [self.arrive, self.arrive, self.settle, self.settle, self.settle]
        deeds += [self.replay, self.decide, self.pass_time, self.look]
        self.dice.choice(deeds)()

    def arrive(self) -> None:
        """An event, most of them now, some of them stored minutes after their moment."""
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
                other = next(each for each in self.routes if each != route)
                a_delivery(event, other)

    def settle(self) -> None:
        """A delivery that is open ends somehow, in the two ways in which the hub writes that."""
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
    """What the counts say."""
    events = EventCount.objects.values_list(
        "hour", "source_id", "entity_type", "event_type", "state", "number"
    )
    failures = FailureCount.objects.values_list("hour", "connection_id", "code", "number")
    calls = CallCount.objects.all()
    return {
        "events": {tuple(key): number for *key, number in events},
        "failures": {tuple(key): number for *key, number in failures},
        "calls": {(each.hour, each.connection_id): (each.number, each.failed) for each in calls},
        "timed": sum(sum(each.durations) for each in calls),
        "successes": {
            (each.hour, each.connection_id): each.last_success_at for each in calls if each.last_success_at
        },
        "groups": {
            (each.connection_id, each.code): each.number for each in FailureGroup.objects.exclude(number=0)
        },
    }


def plain() -> dict[str, Any]:
    """The same from everything that is stored."""
    events = Counter(
        (
            start_of_hour(each.received_at),
            each.source_id,
            each.entity_type if each.entity_type == "USER" else "other",
            each.event_type if each.event_type in ("CREATE", "UPDATE", "DELETE") else "other",
            str(each.state),
        )
        for each in Event.objects.all()
    )
    dead = list(Delivery.objects.filter(state=State.DEAD).select_related("event"))
    found: dict[tuple[datetime, int], tuple[int, int]] = {}
    successes: dict[tuple[datetime, int], datetime] = {}
    calls = [
        call for each in Delivery.objects.all() for own in each.attempts.all() for call in own.calls.all()
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
            Counter((start_of_hour(each.event.received_at), _blamed(each), each.code) for each in dead)
        ),
        "calls": found,
        "timed": sum(call.seconds is not None for call in calls),
        "successes": successes,
        "groups": dict(Counter((_blamed(each), each.code) for each in dead)),
    }


def _blamed(delivery: Delivery) -> int:
    return delivery.identity_id if delivery.code == "identity-timeout" else delivery.commercial_id
