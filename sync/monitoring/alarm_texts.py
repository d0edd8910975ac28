"""Texts of alarms: what, since when, and what to do; for mail, webhooks and the console."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sync.models import Alarm, AlarmKind, NotificationKind

_MAX_COUNT = 10_000


@dataclass(frozen=True, slots=True)
class AlarmText:
    """Text of an alarm: a short title, one or two sentences of detail, and the next step of a person."""

    title: str
    detail: str
    next_step: str


_RAISED_TEXTS: Mapping[str, AlarmText] = {
    AlarmKind.SOURCE_SILENT: AlarmText(
        "{name} is silent",
        "Nothing has come from {name} since {began}; more than {limit} of silence is too long for it.",
        "Ask its owner whether it still sends and whether it has the right address of the hub. Look at the refusals, "
        "too: a wrong secret turns its webhooks away.",
    ),
    AlarmKind.DELIVERIES_LATE: AlarmText(
        "Deliveries are late",
        "{count} due, and the oldest has waited for its turn since {began}; more than {limit} is too long.",
        "Check that a worker is running, that its machine and the database keep up, and that no connection has too "
        "low a limit. Nothing is lost: the deliveries go on by themselves as soon as somebody takes them.",
    ),
    AlarmKind.DELIVERIES_DEAD: AlarmText(
        "{count} failed for good",
        "They are out of tries or were refused, and are not tried again by themselves.",
        "Open the failed events, read the reason, mend it where it lies, and replay them.",
    ),
    AlarmKind.DELIVERIES_HELD: AlarmText(
        "{count} held for approval",
        "More would be changed or removed at once than their route lets pass by itself.",
        "Look at what would be changed. Approve it if it is meant; otherwise stop it at the identity service first.",
    ),
    AlarmKind.CONNECTION_PAUSED: AlarmText(
        "{name} is paused",
        "It has not worked since {began}, and the hub spares it. What is for it waits and spends no tries.",
        "Ask its owner whether it is up, reachable from the hub, and still takes our credentials. The hub tries "
        "again by itself and catches up as soon as it answers.",
    ),
    AlarmKind.AUDIT_UNSEALED: AlarmText(
        "The audit log is not sealed",
        "The oldest entry that waits to be sealed is of {began}; more than {limit} is too long. Until it is sealed it "
        "could be altered unseen.",
        "Check that a worker is running and that SEALING_KEYS open the signing key; the log of the worker names what "
        "is wrong. What waits is sealed as soon as it can be.",
    ),
    AlarmKind.AUDIT_LATE: AlarmText(
        "{count} sealed late",
        "The nightly look found them outside every segment; they are in one that is marked late now.",
        "Find out which transaction took more than two minutes to commit, or whether somebody wrote to the table.",
    ),
    AlarmKind.AUDIT_UNANCHORED: AlarmText(
        "Checkpoints are not delivered by {name}",
        "None has arrived since {began}. What is sealed meanwhile is fixed by our own signature only.",
        "See what it says under /health or on the page of the audit log, and mend the folder, the mail server or the "
        "address. The newest checkpoint is tried again at least every quarter of an hour.",
    ),
    AlarmKind.AUDIT_BROKEN: AlarmText(
        "The audit log was changed",
        "The look at the whole log of {began} found {count}.",
        "Run manage.py verify_audit, which names each place, with a checkpoint that was kept outside. Touch nothing "
        "else in the database before somebody has taken a copy of it.",
    ),
}

# Of what is over: the title in the past, and why it is over.
_ENDED_TEXTS: Mapping[str, tuple[str, str]] = {
    AlarmKind.SOURCE_SILENT: ("{name} was silent", "It sends again, or is not watched any more."),
    AlarmKind.DELIVERIES_LATE: ("Deliveries were late", "What was late has been taken up."),
    AlarmKind.DELIVERIES_DEAD: ("{things} failed for good", "The failed events were replayed or closed."),
    AlarmKind.DELIVERIES_HELD: ("{things} held for approval", "What was held was approved or closed."),
    AlarmKind.CONNECTION_PAUSED: ("{name} was paused", "It is used again, or was switched off."),
    AlarmKind.AUDIT_UNSEALED: ("The audit log was not sealed", "What waited was sealed."),
    AlarmKind.AUDIT_LATE: ("{things} sealed late", "It is a day ago; the segment stays marked."),
    AlarmKind.AUDIT_UNANCHORED: (
        "Checkpoints were not delivered by {name}",
        "A checkpoint has arrived, or this way is not used any more.",
    ),
    AlarmKind.AUDIT_BROKEN: ("The audit log was changed", "A later look at the whole log found nothing."),
}

_COUNTED_NOUNS: Mapping[str, tuple[str, str]] = {
    AlarmKind.DELIVERIES_LATE: ("1 delivery", "{} deliveries"),
    AlarmKind.DELIVERIES_DEAD: ("1 event", "{} events"),
    AlarmKind.DELIVERIES_HELD: ("1 event", "{} events"),
    AlarmKind.AUDIT_LATE: ("1 audit entry", "{} audit entries"),
    AlarmKind.AUDIT_BROKEN: ("1 fault", "{} faults"),
}
_COUNTED_VERBS: Mapping[str, tuple[str, str]] = {
    AlarmKind.DELIVERIES_LATE: (" is", " are"),
    AlarmKind.DELIVERIES_DEAD: (" has", " have"),
    AlarmKind.DELIVERIES_HELD: (" is", " are"),
    AlarmKind.AUDIT_LATE: (" was", " were"),
}


def notification_text(alarm: Alarm, news: str = NotificationKind.RAISED) -> AlarmText:
    """Return the text of a notification; `News.ENDED` needs `ended_at`.

    All notifications of one alarm have the same title after the first word, so that mail programs group them.
    """
    now = _fill_placeholders(alarm, _RAISED_TEXTS[alarm.kind])
    if news == NotificationKind.ENDED:
        over = _ended_text(alarm)
        return AlarmText(f"Over: {now.title}", over.detail, over.next_step)
    if news == NotificationKind.REMINDED:
        return AlarmText(f"Still: {now.title}", now.detail, now.next_step)
    return now


def alarm_text(alarm: Alarm) -> AlarmText:
    """Return the text of an alarm in its present state, in the past tense once it has ended."""
    return notification_text(alarm) if alarm.ended_at is None else _ended_text(alarm)


def _ended_text(alarm: Alarm) -> AlarmText:
    title, why = _ENDED_TEXTS[alarm.kind]
    lasted = f"From {format_time(alarm.began_at)} to {format_time(alarm.ended_at)}. {why}"
    return _fill_placeholders(alarm, AlarmText(title, lasted, "Nothing to do."))


def format_time(at: datetime | None) -> str:
    """Format a time to the minute, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at is not None else "now"


def format_duration(seconds: int) -> str:
    """Format a duration in the largest unit that divides it."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size and seconds % size == 0:
            return _pluralize(seconds // size, unit)
    return _pluralize(seconds, "second")


def _pluralize(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def _fill_placeholders(alarm: Alarm, words: AlarmText) -> AlarmText:
    """Fill the placeholders. Line breaks of names become spaces, as a mail subject must not hold one."""
    facts = {
        "name": " ".join(alarm.name.split()),
        "began": format_time(alarm.began_at),
        "things": _count_with_noun(alarm),
        "count": _count_with_noun(alarm) + _verb_form(alarm),
        "limit": format_duration(alarm.limit_seconds or 0),
    }
    return AlarmText(
        words.title.format(**facts), words.detail.format(**facts), words.next_step.format(**facts)
    )


def _count_with_noun(alarm: Alarm) -> str:
    one, several = _COUNTED_NOUNS.get(alarm.kind, ("", "{}"))
    if alarm.count == 1:
        return one
    return several.format(f"more than {_MAX_COUNT:,}" if alarm.count > _MAX_COUNT else f"{alarm.count:,}")


def _verb_form(alarm: Alarm) -> str:
    one, several = _COUNTED_VERBS.get(alarm.kind, ("", ""))
    return one if alarm.count == 1 else several
