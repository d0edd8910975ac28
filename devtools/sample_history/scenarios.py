"""The course of an event: its attempts, their results and times. Pure: random generator and age are passed in."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

HOUR, DAY = 3600.0, 86_400.0
RETRY_WAITS = (
    1.0,
    5.0,
    30.0,
    120.0,
    600.0,
    3600.0,
    4 * HOUR,
)  # seconds before the second attempt, the third …
MAX_ATTEMPTS = len(RETRY_WAITS) + 1

# Outages: start (hours ago), duration (hours), code, and share of the events that fail.
_OUTAGES = (
    (0.5, 0.5, "target-unavailable", 0.35),
    (3.6, 0.6, "target-timeout", 0.25),
    (31.0, 1.5, "target-unavailable", 0.6),
    (76.0, 0.8, "identity-timeout", 0.4),
    (5.2 * 24, 3.0, "target-credentials", 0.9),
    (19.0 * 24, 2.0, "identity-unavailable", 0.7),
    (47.0 * 24, 5.0, "target-throttled", 0.3),
)
# Codes of attempts outside outages, with their number in a thousand.
_OUTCOME_SHARES = (
    ("succeeded", 924.0),
    ("unchanged", 32.0),
    ("superseded", 14.0),
    ("ignored", 8.0),
    ("target-rejected", 10.0),
    ("unmappable", 5.0),
    ("identity-rejected", 3.0),
    ("no-match", 2.0),
    ("ambiguous-match", 1.0),
    ("held", 1.0),
)
_FINAL_SUCCESSES = ("succeeded", "unchanged", "superseded")
_OUTCOMES = [name for name, _ in _OUTCOME_SHARES]
_WEIGHTS = [weight for _, weight in _OUTCOME_SHARES]


@dataclass(frozen=True, slots=True)
class ScenarioAttempt:
    """One attempt: its start in seconds after the event's arrival, its duration in seconds, and its code."""

    after_seconds: float
    duration: float
    code: str


@dataclass(frozen=True, slots=True)
class EventScenario:
    """The course of an event. `state` and `code` are its present ones.

    `due_after_seconds` is the time of the next attempt, in seconds after the arrival; None if no retry is due.
    """

    state: str
    code: str
    attempts: tuple[ScenarioAttempt, ...] = ()
    due_after_seconds: float | None = None


def draw_scenario(rng: Random, age: float) -> EventScenario:
    """Draw the course of an event that arrived `age` seconds ago. Only `due_after_seconds` may lie in the future."""
    outage_code = next(
        (
            code
            for ago, hours, code, share in _OUTAGES
            if _is_within(age, ago, hours) and rng.random() < share
        ),
        "",
    )
    if outage_code:
        return _draw_outage_scenario(rng, age, outage_code)
    outcome = rng.choices(_OUTCOMES, _WEIGHTS)[0]
    if outcome == "ignored":
        return EventScenario("ignored", "ignored")
    first = ScenarioAttempt(0.02, _draw_duration(rng), outcome)
    if outcome == "held":
        return (
            EventScenario("held", "held", (first,))
            if age < 2 * DAY
            else EventScenario("closed", "closed", (first,))
        )
    if outcome in _FINAL_SUCCESSES:
        return EventScenario(outcome, outcome, (first,))
    if age > 14 * DAY and rng.random() < 0.6:
        return EventScenario("closed", "closed", (first,))
    return EventScenario("dead", outcome, (first,))


def _is_within(age: float, ago: float, hours: float) -> bool:
    return (ago - hours) * HOUR <= age < ago * HOUR


def _draw_outage_scenario(rng: Random, age: float, code: str) -> EventScenario:
    """Draw a course with retries: most events succeed in the end, some use up their attempts, the newest still wait."""
    needed = rng.choice((2, 3, 4, 5, 5, 6, MAX_ATTEMPTS + 1, MAX_ATTEMPTS + 1))
    attempts: list[ScenarioAttempt] = []
    for at in _draw_attempt_times(rng):
        if at + 10.5 >= age:
            return EventScenario("retrying", code, tuple(attempts), due_after_seconds=at)
        is_last = len(attempts) + 1 == needed
        duration = (
            _draw_duration(rng) if is_last else 10.0 if code.endswith("timeout") else _draw_duration(rng)
        )
        attempts.append(ScenarioAttempt(at, duration, "succeeded" if is_last else code))
        if is_last:
            return EventScenario("succeeded", "succeeded", tuple(attempts))
    if age > 14 * DAY and rng.random() < 0.8:
        return EventScenario("closed", "closed", tuple(attempts))
    return EventScenario("dead", code, tuple(attempts))


def _draw_attempt_times(rng: Random) -> Iterator[float]:
    at = 0.02
    yield at
    for wait in RETRY_WAITS:
        at += wait * (0.8 + 0.4 * rng.random()) + 0.3
        yield at


def _draw_duration(rng: Random) -> float:
    return 0.08 + 0.4 * rng.random() ** 3
