"""Texts on what the credentials of a connection may do, as its test found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from connectors.contracts.permissions import PermissionAnswer


@dataclass(frozen=True, slots=True)
class PermissionRow:
    """One permission of the credentials, as the page of a connection shows it. `style`, `symbol` and `label` are those
    of its pill; `answer` is the request that decided with its status, `setting` the place in the settings to look at,
    both empty if there is none. `is_expected`: nothing to look at, as with all that is allowed and with writes, which
    are never tested.
    """

    title: str
    style: str
    symbol: str
    label: str
    sentence: str
    answer: str
    setting: str
    is_expected: bool


def build_permission_row(finding: Mapping[str, Any]) -> PermissionRow:
    """Build the row of a finding, as it is stored with its step."""
    style, symbol, label = _permission_pill(finding)
    call, status = str(finding.get("call", "")), finding.get("status")
    answer = f"{call}: {status}" if call and status else call
    setting = str(finding.get("setting", "")).strip("/").replace("/", ".")
    return PermissionRow(
        _permission_title(finding),
        style,
        symbol,
        label,
        _permission_sentence(finding),
        answer,
        setting,
        style in ("good", "quiet"),
    )


def _permission_title(finding: Mapping[str, Any]) -> str:
    titles = {
        "scope": _("Scope of the token"),
        "list": _("%(type)s: read the list"),
        "read": _("%(type)s: read one"),
        "search": _("%(type)s: search"),
        "write": _("%(type)s: create, update and delete"),
        "absence": _("%(type)s: prove a deletion"),
    }
    return titles[str(finding["permission"])] % {"type": finding.get("entity_type", "")}


def _permission_pill(finding: Mapping[str, Any]) -> tuple[str, str, str]:
    is_write = finding["permission"] == "write"
    pills = {
        PermissionAnswer.GRANTED: ("good", "✓", _("Allowed")),
        PermissionAnswer.PARTLY: ("warn", "!", _("Partly allowed")),
        PermissionAnswer.REFUSED: ("bad", "✕", _("Refused")),
        PermissionAnswer.FAILED: ("bad", "✕", _("Failed")),
        PermissionAnswer.NOT_ACCEPTED: ("warn", "!", _("Not accepted")),
        PermissionAnswer.NOT_CONFIGURED: ("warn", "!", _("Not configured")),
        PermissionAnswer.UNKNOWN: ("quiet", "–", _("Not tested") if is_write else _("Unknown")),
    }
    return pills[PermissionAnswer(finding["answer"])]


def _permission_sentence(finding: Mapping[str, Any]) -> str:
    answer, permission = PermissionAnswer(finding["answer"]), finding["permission"]
    if permission == "scope":
        return _scope_sentence(answer, finding)
    if permission == "write":
        return _write_sentence(answer, finding)
    sentences = {
        PermissionAnswer.GRANTED: "",
        PermissionAnswer.PARTLY: _("Some of the listed items are refused, others are not."),
        PermissionAnswer.REFUSED: _(
            "The system does not allow this with these credentials. Ask its operator for the permission."
        ),
        PermissionAnswer.FAILED: _failure_sentence(finding),
        PermissionAnswer.NOT_CONFIGURED: _(
            "The settings have neither a list nor a probe. A deletion waits until another linked item of this type can "
            "be read, or a person decides. Add one of the two."
        ),
        PermissionAnswer.UNKNOWN: _(
            "There was nothing to read, so the response does not show whether reading is allowed."
        ),
    }
    return sentences.get(answer, "")


def _failure_sentence(finding: Mapping[str, Any]) -> str:
    if finding.get("status") is None:
        return _("The system did not respond.")
    if finding.get("status") == 404:
        return _("Not found. The path is wrong, or the system hides what these credentials may not read.")
    return _("The response is not as expected. Compare the setting with the system's documentation.")


def _scope_sentence(answer: PermissionAnswer, finding: Mapping[str, Any]) -> str:
    if answer is PermissionAnswer.GRANTED:
        return _("All requested scopes were granted.")
    text = _("Requested, but not granted: %(scopes)s. Ask the operator of the token endpoint.")
    return text % {"scopes": ", ".join(finding.get("missing", ()))}


def _write_sentence(answer: PermissionAnswer, finding: Mapping[str, Any]) -> str:
    if answer is PermissionAnswer.NOT_ACCEPTED:
        text = _("The system says that it does not accept: %(calls)s. Writes are not tested.")
        return text % {"calls": ", ".join(finding.get("missing", ()))}
    untested = _("Not tested, because the test changes nothing.")
    if finding.get("is_declared"):
        return _("The system accepts such requests, but perhaps not with these credentials.") + " " + untested
    return untested
