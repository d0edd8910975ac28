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
        "No webhook from {name} since {began}. Its silence limit is {limit}.",
        "Ask its owner whether it is still sending, and to the right endpoint. Also check the "
        "refused requests: webhooks with a wrong secret are refused.",
    ),
    AlarmKind.DELIVERIES_LATE: AlarmText(
        "Deliveries are late",
        "{count} due. The oldest has been queued since {began}; the limit is {limit}.",
        "Check that a worker is running, that its machine and the database are not overloaded, "
        "and that no connection has too low a limit. Nothing is lost: the deliveries continue "
        "automatically as soon as a worker is free.",
    ),
    AlarmKind.DELIVERIES_DEAD: AlarmText(
        "{count} failed",
        "They have no retries left or were rejected, and are not retried automatically.",
        "Open the failed events, read the reason, fix the cause, and replay them.",
    ),
    AlarmKind.DELIVERIES_HELD: AlarmText(
        "{count} held for approval",
        "They would change or delete more records than their route allows without approval.",
        "Review the changes. Approve them if they are intended. Otherwise, correct the data in "
        "the identity service first, then reject them.",
    ),
    AlarmKind.CONNECTION_PAUSED: AlarmText(
        "{name} is paused",
        "It has been failing since {began}, so the hub has paused it. Its deliveries wait "
        "without using retries.",
        "Ask its owner whether it is running, can be reached from the hub, and still accepts the "
        "hub's credentials. The hub checks it automatically and continues as soon as it responds.",
    ),
    AlarmKind.AUDIT_UNSEALED: AlarmText(
        "The audit log is not sealed",
        "The oldest unsealed entry is from {began}; the limit is {limit}. Until an entry is "
        "sealed, a change to it could go unnoticed.",
        "Check that a worker is running and that SEALING_KEYS can decrypt the signing key. The "
        "worker log shows the error. Entries are sealed automatically once the cause is fixed.",
    ),
    AlarmKind.AUDIT_LATE: AlarmText(
        "{count} sealed late",
        "The nightly check found them outside all segments. They are now in a segment that is "
        "marked as late.",
        "Find out which transaction took more than two minutes to commit, or whether the table "
        "was changed directly.",
    ),
    AlarmKind.AUDIT_UNANCHORED: AlarmText(
        "Checkpoints are not delivered by {name}",
        "None has been delivered since {began}. In the meantime, only the hub's own signature "
        "protects newly sealed entries.",
        "Read the error on the audit log integrity page, and fix the folder, the mail server or "
        "the address. The newest checkpoint is retried at least every 15 minutes.",
    ),
    AlarmKind.AUDIT_BROKEN: AlarmText(
        "The audit log was changed",
        "The check of the whole log on {began} found {count}.",
        "Back up the database before you change anything in it. Then run manage.py verify_audit "
        "with a checkpoint from outside the hub: it lists each fault and its position.",
    ),
}

# For ended alarms: the title in the past tense, and the reason why it ended.
_ENDED_TEXTS: Mapping[str, tuple[str, str]] = {
    AlarmKind.SOURCE_SILENT: ("{name} was silent", "It is sending again or no longer monitored."),
    AlarmKind.DELIVERIES_LATE: ("Deliveries were late", "The late deliveries have started."),
    AlarmKind.DELIVERIES_DEAD: ("{things} failed", "The failed events were replayed or closed."),
    AlarmKind.DELIVERIES_HELD: (
        "{things} held for approval",
        "The held deliveries were approved or rejected.",
    ),
    AlarmKind.CONNECTION_PAUSED: ("{name} was paused", "It is used again, or was disabled."),
    AlarmKind.AUDIT_UNSEALED: ("The audit log was not sealed", "All entries are sealed."),
    AlarmKind.AUDIT_LATE: (
        "{things} sealed late",
        "More than a day has passed. The segment stays marked as late.",
    ),
    AlarmKind.AUDIT_UNANCHORED: (
        "Checkpoints were not delivered by {name}",
        "A checkpoint was delivered, or this channel is no longer used.",
    ),
    AlarmKind.AUDIT_BROKEN: ("The audit log was changed", "A later check of the whole log found no faults."),
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


def notification_text(alarm: Alarm, kind: str = NotificationKind.RAISED) -> AlarmText:
    """Return the text of a notification; `NotificationKind.ENDED` needs `ended_at`.

    All notifications of one alarm have the same title after the first word, so that mail programs group them.
    """
    now = _fill_placeholders(alarm, _RAISED_TEXTS[alarm.kind])
    if kind == NotificationKind.ENDED:
        over = _ended_text(alarm)
        return AlarmText(f"Ended: {now.title}", over.detail, over.next_step)
    if kind == NotificationKind.REMINDED:
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
