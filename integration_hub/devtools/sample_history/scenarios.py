"""What came of one event: how many tries, how each ended, when. Pure: chance and ages are passed in."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

HOUR, DAY = 3600.0, 86_400.0
WAITS = (1.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 4 * HOUR)  # before the second try, the third …
TRIES = len(WAITS) + 1

# How long ago a system was in trouble, for how long (hours), in which way, and what share of its events it hit.
_TROUBLES = (
    (0.5, 0.5, "target-unavailable", 0.35),
    (3.6, 0.6, "target-timeout", 0.25),
    (31.0, 1.5, "target-unavailable", 0.6),
    (76.0, 0.8, "identity-timeout", 0.4),
    (5.2 * 24, 3.0, "target-credentials", 0.9),
    (19.0 * 24, 2.0, "identity-unavailable", 0.7),
    (47.0 * 24, 5.0, "target-throttled", 0.3),
)
# What a try ends with when nothing is wrong with the systems, by how many of a thousand.
_PLAIN = (
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
_GOOD = ("succeeded", "unchanged", "superseded")
_OUTCOMES = [name for name, _ in _PLAIN]
_WEIGHTS = [weight for _, weight in _PLAIN]


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt: seconds after the event's arrival, how long it took, and the code that it ended with."""

    at: float
    took: float
    code: str


@dataclass(frozen=True, slots=True)
class Story:
    """`state` and `code` as the event shows them now; `due` in seconds after its arrival, where it is retried."""

    state: str
    code: str
    tries: tuple[Try, ...] = ()
    due: float | None = None


def tell(chance: Random, age: float) -> Story:
    """The story of an event that arrived `age` seconds ago: nothing in it is later than now but `due`."""
    trouble = next(
        (
            code
            for ago, hours, code, share in _TROUBLES
            if _within(age, ago, hours) and chance.random() < share
        ),
        "",
    )
    if trouble:
        return _troubled(chance, age, trouble)
    outcome = chance.choices(_OUTCOMES, _WEIGHTS)[0]
    if outcome == "ignored":
        return Story("ignored", "ignored")
    first = Try(0.02, _took(chance), outcome)
    if outcome == "held":
        return Story("held", "held", (first,)) if age < 2 * DAY else Story("closed", "closed", (first,))
    if outcome in _GOOD:
        return Story(outcome, outcome, (first,))
    if age > 14 * DAY and chance.random() < 0.6:
        return Story("closed", "closed", (first,))
    return Story("dead", outcome, (first,))


def _within(age: float, ago: float, hours: float) -> bool:
    return (ago - hours) * HOUR <= age < ago * HOUR


def _troubled(chance: Random, age: float, code: str) -> Story:
    """Tried again and again: most get through in the end, some use up their tries, the newest still wait."""
    needed = chance.choice((2, 3, 4, 5, 5, 6, TRIES + 1, TRIES + 1))
    tries: list[Try] = []
    for at in _moments(chance):
        if at + 10.5 >= age:
            return Story("retrying", code, tuple(tries), due=at)
        last = len(tries) + 1 == needed
        took = _took(chance) if last else 10.0 if code.endswith("timeout") else _took(chance)
        tries.append(Try(at, took, "succeeded" if last else code))
        if last:
            return Story("succeeded", "succeeded", tuple(tries))
    if age > 14 * DAY and chance.random() < 0.8:
        return Story("closed", "closed", tuple(tries))
    return Story("dead", code, tuple(tries))


def _moments(chance: Random) -> Iterator[float]:
    at = 0.02
    yield at
    for wait in WAITS:
        at += wait * (0.8 + 0.4 * chance.random()) + 0.3
        yield at


def _took(chance: Random) -> float:
    return 0.08 + 0.4 * chance.random() ** 3
