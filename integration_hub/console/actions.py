"""What the audit log's actions are called in plain words."""

from collections.abc import Mapping

_KINDS = ("source", "connection", "route", "mapping", "group")
_DEEDS = {"created": "added", "changed": "changed", "deleted": "deleted"}

ACTIONS: Mapping[str, str] = {
    "webhook.received": "sent a webhook",
    "webhook.repeated": "sent a webhook again",
    "webhook.unusable": "sent something that is no webhook",
    "webhook.refused": "was refused a webhook",
    "webhook.answered": "answered a webhook",
    "attempt.started": "started an attempt",
    "attempt.succeeded": "ended an attempt: succeeded",
    "attempt.unchanged": "ended an attempt: nothing to change",
    "attempt.superseded": "ended an attempt: superseded",
    "attempt.failed": "ended an attempt: failed",
    "attempt.held": "ended an attempt: held for approval",
    "attempt.unknown": "found an attempt that never ended",
    "delivery.postponed": "let a delivery wait for a paused connection",
    "delivery.approved": "approved a held delivery",
    "delivery.closed": "closed a held delivery",
    "delivery.done-by-hand": "marked a delivery as done by hand",
    "event.replayed": "replayed an event",
    "event.revealed": "revealed the contents of an event",
    "preview.begun": "asked what a replay would do",
    "preview.ended": "was told what a replay would do",
    "replay.started": "started a replay of many events",
    "replay.awaits-approval": "asked for a replay above the limit",
    "replay.approved": "approved a replay above the limit",
    "replay.declined": "declined or withdrew a replay",
    "replay.paused": "paused a replay",
    "replay.continued": "let a replay go on",
    "replay.stopped": "stopped a replay",
    "replay.finished": "ended a replay",
    "replay.downloaded": "downloaded the list of a replay",
    "download.started": "started a download",
    "download.finished": "finished a download",
    "download.interrupted": "broke off a download",
    "download.refused": "was refused a download",
    "export.requested": "asked for an export as evidence",
    "export.completed": "made an export",
    "export.failed": "failed to make an export",
    "export.cancelled": "cancelled an export",
    "export.downloaded": "downloaded an export",
    "export.expired": "deleted the files of an export",
    "person.logged-in": "logged in",
    "person.login-failed": "failed to log in",
    "person.logged-out": "logged out",
    "person.password-changed": "changed a password",
    "person.created": "added a login",
    "person.changed": "changed a login",
    "person.deleted": "deleted a login",
    **{f"{kind}.{deed}": f"{verb} a {kind}" for kind in _KINDS for deed, verb in _DEEDS.items()},
    "mapping.drafted": "saved a draft of a mapping",
    "mapping.discarded": "discarded a draft of a mapping",
    "mapping.backtested": "began a back-test of a mapping",
    "mapping.activated": "put a version of a mapping in force",
    "connection.tested": "tested a connection",
    "connection.paused": "paused a connection that does not work",
    "connection.resumed": "ended the pause of a connection that works again",
    "connection.retried": "ended the pause of a connection early",
    "alarm.raised": "raised an alarm",
    "alarm.woken": "reminded of an alarm after its snooze",
    "alarm.snoozed": "snoozed an alarm",
    "alarm.ended": "ended an alarm",
    "failures.acknowledged": "took a group of failures on",
    "failures.resolved": "marked a group of failures as resolved",
    "failures.ignored": "let a group of failures be ignored",
    "failures.opened": "opened a group of failures again",
    "failures.changed": "changed what is known of a group of failures",
    "failures.reopened": "found a group of failures failing again",
    "source.tested": "sent a test event",
    "source.paused": "paused a source",
    "source.resumed": "let a paused source go on",
    "secret.added": "added a secret",
    "secret.ended": "ended a secret",
    "settings.seeded": "set up the stand-in services",
    "signing-key.begun": "began to sign the audit log with a new key",
    "erasure.asked": "asked to erase somebody",
    "erasure.confirmed": "confirmed that somebody is erased",
    "erasure.refused": "refused or withdrew an erasure",
    "subject.erased": "erased somebody",
    "retention.pruned": "deleted what was kept long enough",
    "sealing.renewed": "sealed everything under the newest key",
}


_WITH_CODE: Mapping[tuple[str, str], str] = {
    ("attempt.unknown", "crashes-hub"): "found an attempt that stopped the process it had for itself",
}


def phrase(action: str, code: str = "") -> str:
    """The action as a verb phrase; one that is not in the table in its own words."""
    known = _WITH_CODE.get((action, code)) or ACTIONS.get(action)
    return known or action.replace(".", " ").replace("-", " ")
