"""Texts of alarms: what, since when, and what to do; for mail, webhooks and the console."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy

from sync.models import Alarm, AlarmKind, NotificationKind

_MAX_COUNT = 10_000


@dataclass(frozen=True, slots=True)
class AlarmText:
    """Text of an alarm: a short title, one or two sentences of detail, and the next step of a person."""

    title: str
    detail: str
    next_step: str


class _Template(NamedTuple):
    """Text of an alarm with placeholders, translated when they are filled."""

    title: Any
    detail: Any = ""
    next_step: Any = ""


# `%(count)s` is the number as it is shown; `number` chooses singular or plural.
_RAISED_TEXTS: Mapping[str, _Template] = {
    AlarmKind.SOURCE_SILENT: _Template(
        gettext_lazy("%(name)s is silent"),
        gettext_lazy(
            "No webhook from %(name)s since %(began)s. The alarm begins after %(limit)s of silence."
        ),
        gettext_lazy(
            "Ask its owner whether it is still sending, and to the right endpoint. Also check the "
            "refused requests: webhooks with a wrong secret are refused."
        ),
    ),
    AlarmKind.DELIVERIES_LATE: _Template(
        gettext_lazy("Deliveries are late"),
        ngettext_lazy(
            "%(count)s delivery is due. The oldest has been queued since %(began)s; the limit is %(limit)s.",
            "%(count)s deliveries are due. The oldest has been queued since %(began)s; the limit is %(limit)s.",
            "number",
        ),
        gettext_lazy(
            "Check that a worker is running, that its machine and the database are not overloaded, "
            "and that no connection has too low a limit. Nothing is lost: the deliveries continue "
            "automatically as soon as a worker is free."
        ),
    ),
    AlarmKind.DELIVERIES_DEAD: _Template(
        ngettext_lazy("%(count)s open failure", "%(count)s open failures", "number"),
        ngettext_lazy(
            "The delivery has no retries left or was rejected, and is not retried automatically.",
            "The deliveries have no retries left or were rejected, and are not retried automatically.",
            "number",
        ),
        ngettext_lazy(
            "Open the failure, read the reason, fix the cause, and replay it.",
            "Open the failures, read the reasons, fix the causes, and replay them.",
            "number",
        ),
    ),
    AlarmKind.DELIVERIES_HELD: _Template(
        ngettext_lazy(
            "%(count)s event is held for approval", "%(count)s events are held for approval", "number"
        ),
        ngettext_lazy(
            "It exceeds a limit of its route, or it is not certain which record it belongs to, or whether "
            "something was deleted.",
            "They exceed a limit of their route, or it is not certain which record they belong to, or whether "
            "something was deleted.",
            "number",
        ),
        ngettext_lazy(
            "Review the change. Approve it if it is intended. Otherwise, correct the data in the identity service "
            "first, then reject it.",
            "Review the changes. Approve them if they are intended. Otherwise, correct the data in "
            "the identity service first, then reject them.",
            "number",
        ),
    ),
    AlarmKind.CONNECTION_PAUSED: _Template(
        gettext_lazy("%(name)s is failing"),
        gettext_lazy(
            "It has been failing since %(began)s. Its deliveries are on hold and use no retries; the hub checks it "
            "again and again."
        ),
        gettext_lazy(
            "Ask its owner whether it is running, can be reached from the hub, and still accepts the "
            "hub's credentials. The hub checks it automatically and continues as soon as it responds."
        ),
    ),
    AlarmKind.OUT_OF_STEP: _Template(
        gettext_lazy("%(name)s is out of step"),
        ngettext_lazy(
            "The last comparison found %(count)s difference, known since %(began)s; the limit is %(limit)s.",
            "The last comparison found %(count)s differences. The oldest has been known since %(began)s; the limit is "
            "%(limit)s.",
            "number",
        ),
        gettext_lazy(
            "Open the comparison, review the differences, make them equal or correct the data, and compare again."
        ),
    ),
    AlarmKind.COMPARISON_FAILED: _Template(
        gettext_lazy("The comparison of %(name)s failed"),
        gettext_lazy(
            "It failed at %(began)s. Since then, the hub does not know whether the two systems are in step."
        ),
        gettext_lazy("Open the comparison, read the reason, fix the cause, and compare again."),
    ),
    AlarmKind.COMPARISON_LATE: _Template(
        gettext_lazy("The comparison of %(name)s is late"),
        gettext_lazy("It was due at %(began)s by the schedule of the route, and has not begun or not ended."),
        gettext_lazy(
            "Check that both connections are enabled, that the identity service has a list in its settings, and that a "
            "worker is running. The comparison starts automatically as soon as it can."
        ),
    ),
    AlarmKind.CATCH_UP_LATE: _Template(
        gettext_lazy("The catch-up of %(name)s is late"),
        gettext_lazy(
            "Since %(began)s, the hub should have read what changed, and has not read the list to its end. Changes "
            "without a webhook are not delivered meanwhile; nothing is lost."
        ),
        gettext_lazy(
            "Open the connection: its page shows why the last run failed. Check that the connection is enabled and not "
            "paused, that the identity service responds and accepts the hub's credentials, and that a worker is "
            "running. The catch-up continues automatically where it stopped."
        ),
    ),
    AlarmKind.IDS_CHANGED: _Template(
        gettext_lazy("The record ids of %(name)s have changed"),
        gettext_lazy(
            "In ten minutes, at least 5 linked records, in 20 %% of its deliveries, did not have the external id that "
            "the hub wrote. So the hub paused it at %(began)s: a record may be that of another person. Its "
            "deliveries wait."
        ),
        gettext_lazy(
            "Ask its owner whether it was restored or imported again. Then open the connection, choose “Link records "
            "again…”, review the preview, link the records, and resume the connection."
        ),
    ),
    AlarmKind.CERTIFICATE_ENDING: _Template(
        gettext_lazy("%(name)s needs a new client certificate"),
        ngettext_lazy(
            "The certificate that the hub presents to it expires in less than %(count)s day. Then all requests to it "
            "fail.",
            "The certificate that the hub presents to it expires in less than %(count)s days. Then all requests to it "
            "fail.",
            "number",
        ),
        gettext_lazy(
            "Ask its operator for a new certificate, enter it with its private key on the page of the connection, "
            "and test the connection."
        ),
    ),
    AlarmKind.CERTIFICATE_EXPIRED: _Template(
        gettext_lazy("The client certificate for %(name)s has expired"),
        gettext_lazy("It expired on %(began)s. Since then, %(name)s has refused it and all requests."),
        gettext_lazy(
            "Ask its operator for a new certificate, enter it with its private key on the page of the connection, "
            "and test the connection. The waiting deliveries then continue."
        ),
    ),
    AlarmKind.AUDIT_UNSEALED: _Template(
        gettext_lazy("The audit log is not sealed"),
        gettext_lazy(
            "The oldest unsealed entry is from %(began)s; the limit is %(limit)s. Until an entry is "
            "sealed, a change to it could go unnoticed."
        ),
        gettext_lazy(
            "Check that a worker is running and that SEALING_KEYS can decrypt the signing key. The "
            "worker log shows the error. Entries are sealed automatically once the cause is fixed."
        ),
    ),
    AlarmKind.AUDIT_LATE: _Template(
        ngettext_lazy(
            "%(count)s audit entry was sealed late", "%(count)s audit entries were sealed late", "number"
        ),
        gettext_lazy(
            "The nightly check found them outside all segments. They are now in a segment that is "
            "marked as late."
        ),
        gettext_lazy(
            "Find out which transaction took more than two minutes to commit, or whether the table "
            "was changed directly."
        ),
    ),
    AlarmKind.AUDIT_FOREIGN_ROWS: _Template(
        ngettext_lazy(
            "%(count)s row in the audit log was not written by the hub",
            "%(count)s rows in the audit log were not written by the hub",
            "number",
        ),
        gettext_lazy(
            "Someone with direct access to the database inserted or changed it, noticed at %(began)s. Sealing "
            "ignores it and continues."
        ),
        gettext_lazy(
            "Copy the database before anything else, and find out who wrote to it. Run manage.py verify_audit: it "
            "names each such row. Only the owner of the database can delete one, and only one that no later segment "
            "follows."
        ),
    ),
    AlarmKind.AUDIT_UNANCHORED: _Template(
        gettext_lazy("Checkpoints are not delivered by %(name)s"),
        gettext_lazy(
            "None has been delivered since %(began)s. In the meantime, only the hub's own signature "
            "protects newly sealed entries."
        ),
        gettext_lazy(
            "Read the error on the audit log integrity page, and fix the folder, the mail server or "
            "the address. The newest checkpoint is retried at least every 15 minutes."
        ),
    ),
    AlarmKind.AUDIT_BROKEN: _Template(
        gettext_lazy("The audit log was changed"),
        ngettext_lazy(
            "The check of the whole log on %(began)s found %(count)s fault.",
            "The check of the whole log on %(began)s found %(count)s faults.",
            "number",
        ),
        gettext_lazy(
            "Back up the database before you change anything in it. Then run manage.py verify_audit "
            "with a checkpoint from outside the hub: it lists each fault and its position."
        ),
    ),
    AlarmKind.LOGINS_FAILING: _Template(
        ngettext_lazy("%(count)s failed login", "%(count)s failed logins", "number"),
        gettext_lazy(
            "Since %(began)s, many logins to the console have failed. Someone may be guessing passwords. The hub "
            "limits the attempts; people can log in from addresses that they have used before."
        ),
        gettext_lazy(
            "Open the audit log: it lists the accounts and the addresses. Block the addresses at the proxy or the "
            "firewall. If a person cannot log in, an administrator can unlock the login on the person's page."
        ),
    ),
    AlarmKind.ADDRESSES_UNREADABLE: _Template(
        gettext_lazy("Client addresses cannot be read"),
        gettext_lazy(
            "Since %(began)s, requests have come through the proxy without a readable address of the client. People "
            "who log in this way share one limit of wrong passwords."
        ),
        gettext_lazy(
            "Check that TRUSTED_PROXIES is the number of proxies, and that each of them appends the address of its "
            "client to X-Forwarded-For."
        ),
    ),
    AlarmKind.BREAK_GLASS: _Template(
        gettext_lazy("A login was changed on the server"),
        ngettext_lazy(
            "Since %(began)s, the break-glass command or createsuperuser was used %(count)s time. This needs no "
            "approval in the console.",
            "Since %(began)s, the break-glass command or createsuperuser was used %(count)s times. This needs no "
            "approval in the console.",
            "number",
        ),
        gettext_lazy(
            "Open the audit log: it names the logins and the reasons. Ask the people who run the server whether they "
            "did it. The alarm ends a day after the last use."
        ),
    ),
    AlarmKind.AUDIT_UNCHECKED: _Template(
        gettext_lazy("The audit log is not checked"),
        gettext_lazy("The last nightly check was on %(began)s. A change since then could go unnoticed."),
        gettext_lazy(
            "Check that a worker runs at night, and read its log from 02:47 UTC on. Or run manage.py "
            "verify_audit."
        ),
    ),
    AlarmKind.AUDIT_UNREAD: _Template(
        gettext_lazy("Nobody can read the audit log"),
        gettext_lazy(
            "Since %(began)s, no person whose login is enabled has had the right to read the audit log, so nobody sees "
            "what is done in the console."
        ),
        gettext_lazy(
            "Give a person the role “auditor”. If no one in the console can, use manage.py break_glass on the server."
        ),
    ),
}

# For ended alarms: the title in the past tense, and the reason why it ended.
_ENDED_TEXTS: Mapping[str, tuple[Any, Any]] = {
    AlarmKind.SOURCE_SILENT: (
        gettext_lazy("%(name)s was silent"),
        gettext_lazy("It is sending again or no longer monitored."),
    ),
    AlarmKind.DELIVERIES_LATE: (
        gettext_lazy("Deliveries were late"),
        gettext_lazy("The late deliveries have started."),
    ),
    AlarmKind.DELIVERIES_DEAD: (
        ngettext_lazy("%(count)s failure was open", "%(count)s failures were open", "number"),
        gettext_lazy("They were replayed, closed, resolved or ignored."),
    ),
    AlarmKind.DELIVERIES_HELD: (
        ngettext_lazy("%(count)s event held for approval", "%(count)s events held for approval", "number"),
        gettext_lazy("The held deliveries were approved or rejected."),
    ),
    AlarmKind.CONNECTION_PAUSED: (
        gettext_lazy("%(name)s was failing"),
        gettext_lazy("It is used again, or was disabled."),
    ),
    AlarmKind.OUT_OF_STEP: (
        gettext_lazy("%(name)s was out of step"),
        gettext_lazy("A later comparison found no difference that is so old, or the route was disabled."),
    ),
    AlarmKind.COMPARISON_FAILED: (
        gettext_lazy("The comparison of %(name)s failed"),
        gettext_lazy(
            "A later comparison succeeded, a day has passed without a schedule, or the route was disabled."
        ),
    ),
    AlarmKind.COMPARISON_LATE: (
        gettext_lazy("The comparison of %(name)s was late"),
        gettext_lazy("It has begun or ended, or the schedule was changed."),
    ),
    AlarmKind.CATCH_UP_LATE: (
        gettext_lazy("The catch-up of %(name)s was late"),
        gettext_lazy("It has read what changed, or was switched off."),
    ),
    AlarmKind.IDS_CHANGED: (
        gettext_lazy("The record ids of %(name)s had changed"),
        gettext_lazy("It was resumed, or was disabled."),
    ),
    AlarmKind.CERTIFICATE_ENDING: (
        gettext_lazy("%(name)s needed a new client certificate"),
        gettext_lazy("It has a new one, was disabled, or the certificate has expired."),
    ),
    AlarmKind.CERTIFICATE_EXPIRED: (
        gettext_lazy("The client certificate for %(name)s had expired"),
        gettext_lazy("The connection has a new one, or was disabled."),
    ),
    AlarmKind.AUDIT_UNSEALED: (
        gettext_lazy("The audit log was not sealed"),
        gettext_lazy("All entries are sealed."),
    ),
    AlarmKind.AUDIT_LATE: (
        ngettext_lazy("%(count)s audit entry sealed late", "%(count)s audit entries sealed late", "number"),
        gettext_lazy("More than a day has passed. The segment stays marked as late."),
    ),
    AlarmKind.AUDIT_FOREIGN_ROWS: (
        ngettext_lazy(
            "%(count)s row in the audit log was not written by the hub",
            "%(count)s rows in the audit log were not written by the hub",
            "number",
        ),
        gettext_lazy(
            "It was deleted, or more than a day has passed. The check of the whole log still names it."
        ),
    ),
    AlarmKind.AUDIT_UNANCHORED: (
        gettext_lazy("Checkpoints were not delivered by %(name)s"),
        gettext_lazy("A checkpoint was delivered, or this channel is no longer used."),
    ),
    AlarmKind.AUDIT_BROKEN: (
        gettext_lazy("The audit log was changed"),
        gettext_lazy("A later check of the whole log found no faults."),
    ),
    AlarmKind.LOGINS_FAILING: (
        ngettext_lazy("%(count)s failed login", "%(count)s failed logins", "number"),
        gettext_lazy("No login has failed for a while."),
    ),
    AlarmKind.ADDRESSES_UNREADABLE: (
        gettext_lazy("Client addresses could not be read"),
        gettext_lazy("All recent requests had a readable address."),
    ),
    AlarmKind.BREAK_GLASS: (
        gettext_lazy("A login was changed on the server"),
        gettext_lazy("The last use was a day ago."),
    ),
    AlarmKind.AUDIT_UNCHECKED: (
        gettext_lazy("The audit log was not checked"),
        gettext_lazy("The nightly check has run again."),
    ),
    AlarmKind.AUDIT_UNREAD: (
        gettext_lazy("Nobody could read the audit log"),
        gettext_lazy("A person can read it again."),
    ),
}


def notification_text(alarm: Alarm, kind: str = NotificationKind.RAISED) -> AlarmText:
    """Return the text of a notification; `NotificationKind.ENDED` needs `ended_at`.

    All notifications of one alarm have the same title after the first word, so that mail programs group them.
    """
    if kind == NotificationKind.ENDED:
        over, was = (
            _ended_text(alarm),
            _fill_placeholders(alarm, _RAISED_TEXTS[alarm.kind], alarm.highest_count),
        )
        return AlarmText(_("Ended: %(title)s") % {"title": was.title}, over.detail, over.next_step)
    now = _fill_placeholders(alarm, _RAISED_TEXTS[alarm.kind])
    if kind == NotificationKind.REMINDED:
        return AlarmText(_("Still: %(title)s") % {"title": now.title}, now.detail, now.next_step)
    return now


def alarm_text(alarm: Alarm) -> AlarmText:
    """Return the text of an alarm in its present state; in the past tense and with its peak once it has ended."""
    return notification_text(alarm) if alarm.ended_at is None else _ended_text(alarm)


def _ended_text(alarm: Alarm) -> AlarmText:
    title, why = _ENDED_TEXTS[alarm.kind]
    lasted = _("From %(began)s to %(ended)s. %(reason)s") % {
        "began": format_time(alarm.began_at),
        "ended": format_time(alarm.ended_at),
        "reason": why,
    }
    filled = _fill_placeholders(alarm, _Template(title), alarm.highest_count)
    return AlarmText(filled.title, lasted, _("Nothing to do."))


def format_time(at: datetime | None) -> str:
    """Format a time to the minute, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at is not None else _("now")


def format_duration(seconds: int) -> str:
    """Format a duration in the largest unit that divides it."""
    for size in (86_400, 3_600, 60, 1):
        if seconds >= size and seconds % size == 0:
            return _count_units(seconds // size, size)
    return _count_units(seconds, 1)


def _count_units(number: int, size: int) -> str:
    """Return a number of units; `size` is the length of the unit in seconds."""
    texts = {
        86_400: ngettext("%(count)s day", "%(count)s days", number),
        3_600: ngettext("%(count)s hour", "%(count)s hours", number),
        60: ngettext("%(count)s minute", "%(count)s minutes", number),
        1: ngettext("%(count)s second", "%(count)s seconds", number),
    }
    return texts[size] % {"count": f"{number:,}"}


def _fill_placeholders(alarm: Alarm, template: _Template, count: int | None = None) -> AlarmText:
    """Fill the placeholders, with the present count unless another one is given. Line breaks of names become spaces, as
    a mail subject must not hold one.
    """
    count = alarm.count if count is None else count
    facts = {
        "name": " ".join(alarm.name.split()),
        "began": format_time(alarm.began_at),
        "number": count,
        "count": _format_count(count),
        "limit": format_duration(alarm.limit_seconds or 0),
    }
    return AlarmText(*(str(text % facts) for text in template))


def _format_count(count: int) -> str:
    if count > _MAX_COUNT:
        return _("more than %(limit)s") % {"limit": f"{_MAX_COUNT:,}"}
    return f"{count:,}"
