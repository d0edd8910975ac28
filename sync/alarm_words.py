"""An alarm in plain words: what, since when, what to do. For mail, for machines and for the console alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sync.models import Alarm, AlarmKind, News

_MOST = 10_000


@dataclass(frozen=True, slots=True)
class AlarmWords:
    """A title of a few words, a sentence or two on what is so, and what a person can do about it."""

    title: str
    detail: str
    next_step: str


_RAISED: Mapping[str, AlarmWords] = {
    AlarmKind.SOURCE_SILENT: AlarmWords(
        "{name} is silent",
        "Nothing has come from {name} since {began}; more than {limit} of silence is too long for it.",
        "Ask its owner whether it still sends and whether it has the right address of the hub. Look at the refusals, "
        "too: a wrong secret turns its webhooks away.",
    ),
    AlarmKind.DELIVERIES_LATE: AlarmWords(
        "Deliveries are late",
        "{count} due, and the oldest has waited for its turn since {began}; more than {limit} is too long.",
        "Check that a worker is running, that its machine and the database keep up, and that no connection has too "
        "low a limit. Nothing is lost: the deliveries go on by themselves as soon as somebody takes them.",
    ),
    AlarmKind.DELIVERIES_DEAD: AlarmWords(
        "{count} failed for good",
        "They are out of tries or were refused, and are not tried again by themselves.",
        "Open the failed events, read the reason, mend it where it lies, and replay them.",
    ),
    AlarmKind.DELIVERIES_HELD: AlarmWords(
        "{count} held for approval",
        "More would be changed or removed at once than the guard of their route lets pass.",
        "Look at what would be changed. Approve it if it is meant; otherwise stop it at the identity service first.",
    ),
    AlarmKind.CONNECTION_PAUSED: AlarmWords(
        "{name} is paused",
        "It has not worked since {began}, and the hub spares it. What is for it waits and spends no tries.",
        "Ask its owner whether it is up, reachable from the hub, and still takes our credentials. The hub tries "
        "again by itself and catches up as soon as it answers.",
    ),
    AlarmKind.AUDIT_UNSEALED: AlarmWords(
        "The audit log is not sealed",
        "The oldest entry that waits to be sealed is of {began}; more than {limit} is too long. Until it is sealed it "
        "could be altered unseen.",
        "Check that a worker is running and that SEALING_KEYS open the signing key; the log of the worker names what "
        "is wrong. What waits is sealed as soon as it can be.",
    ),
    AlarmKind.AUDIT_LATE: AlarmWords(
        "{count} sealed late",
        "The nightly look found them outside every segment; they are in one that is marked late now.",
        "Find out which transaction took more than two minutes to commit, or whether somebody wrote to the table.",
    ),
    AlarmKind.AUDIT_UNANCHORED: AlarmWords(
        "Checkpoints are not delivered by {name}",
        "None has arrived since {began}. What is sealed meanwhile is fixed by our own signature only.",
        "See what it says under /health or on the page of the audit log, and mend the folder, the mail server or the "
        "address. The newest checkpoint is tried again at least every quarter of an hour.",
    ),
    AlarmKind.AUDIT_BROKEN: AlarmWords(
        "The audit log was changed",
        "The look at the whole log of {began} found {count}.",
        "Run manage.py verify_audit, which names each place, with a checkpoint that was kept outside. Touch nothing "
        "else in the database before somebody has taken a copy of it.",
    ),
}

_ENDED: Mapping[str, str] = {
    AlarmKind.SOURCE_SILENT: "It sends again, or is not watched any more.",
    AlarmKind.DELIVERIES_LATE: "What was late has been taken up.",
    AlarmKind.DELIVERIES_DEAD: "The failed events were replayed or closed.",
    AlarmKind.DELIVERIES_HELD: "What was held was approved or closed.",
    AlarmKind.CONNECTION_PAUSED: "It is used again, or was switched off.",
    AlarmKind.AUDIT_UNSEALED: "What waited was sealed.",
    AlarmKind.AUDIT_LATE: "It is a day ago; the segment stays marked.",
    AlarmKind.AUDIT_UNANCHORED: "A checkpoint has arrived, or this way is not used any more.",
    AlarmKind.AUDIT_BROKEN: "A later look at the whole log found nothing.",
}

_COUNTED: Mapping[str, tuple[str, str]] = {
    AlarmKind.DELIVERIES_LATE: ("1 delivery is", "{} deliveries are"),
    AlarmKind.DELIVERIES_DEAD: ("1 event has", "{} events have"),
    AlarmKind.DELIVERIES_HELD: ("1 event is", "{} events are"),
    AlarmKind.AUDIT_LATE: ("1 audit entry was", "{} audit entries were"),
    AlarmKind.AUDIT_BROKEN: ("1 fault", "{} faults"),
}


def describe(alarm: Alarm, news: str = News.RAISED) -> AlarmWords:
    """The words for it as it stands; `News.ENDED` says that it is over, and needs `ended_at`."""
    now = _filled(alarm, _RAISED[alarm.kind])
    if news == News.ENDED:
        lasted = f"From {clock(alarm.began_at)} to {clock(alarm.ended_at)}. {_ENDED[alarm.kind]}"
        return AlarmWords(f"Over: {now.title}", lasted, "Nothing to do.")
    if news == News.REMINDED:
        return AlarmWords(f"Still: {now.title}", now.detail, now.next_step)
    return now


def clock(at: datetime | None) -> str:
    """A time to the minute, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at is not None else "now"


def span(seconds: int) -> str:
    """A length of time in the largest unit that it fills without a remainder."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size and seconds % size == 0:
            return _several(seconds // size, unit)
    return _several(seconds, "second")


def _several(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def _filled(alarm: Alarm, words: AlarmWords) -> AlarmWords:
    """One line each: a name that somebody typed can hold a line break, which has no place in a mail's subject."""
    facts = {
        "name": " ".join(alarm.name.split()),
        "began": clock(alarm.began_at),
        "count": _count(alarm),
        "limit": span(alarm.limit_seconds or 0),
    }
    return AlarmWords(
        words.title.format(**facts), words.detail.format(**facts), words.next_step.format(**facts)
    )


def _count(alarm: Alarm) -> str:
    one, several = _COUNTED.get(alarm.kind, ("", "{}"))
    if alarm.count == 1:
        return one
    return several.format(f"more than {_MOST:,}" if alarm.count > _MOST else f"{alarm.count:,}")
