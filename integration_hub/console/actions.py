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
    "attempt.unknown": "found an attempt that never ended",
    "event.replayed": "replayed an event",
    "download.started": "started a download",
    "download.finished": "finished a download",
    "download.interrupted": "broke off a download",
    "download.refused": "was refused a download",
    "person.logged-in": "logged in",
    "person.login-failed": "failed to log in",
    "person.logged-out": "logged out",
    "person.password-changed": "changed a password",
    "person.created": "added a login",
    "person.changed": "changed a login",
    "person.deleted": "deleted a login",
    **{f"{kind}.{deed}": f"{verb} a {kind}" for kind in _KINDS for deed, verb in _DEEDS.items()},
    "secret.added": "added a secret",
    "secret.ended": "ended a secret",
    "settings.seeded": "set up the stand-in services",
    "sealing.renewed": "sealed everything under the newest key",
}


def phrase(action: str) -> str:
    """The action as a verb phrase; one that is not in the table in its own words."""
    return ACTIONS.get(action) or action.replace(".", " ").replace("-", " ")
