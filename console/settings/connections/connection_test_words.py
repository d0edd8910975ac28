"""Texts of the steps of a connection test. Pure: `now` is passed in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from config_schema.codes.codes import CATALOGUE
from connectors.check import CheckStep
from connectors.contracts.errors import HUB_EXHAUSTED_CODE
from console.settings.connections.forms import CREDENTIAL_LABELS
from console.settings.connections.permission_words import PermissionRow, build_permission_row
from console.ui.formatting import long_duration, short_duration
from console.ui.outcome_texts import describe_code


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step as shown on the page. `style`, `symbol` and `label` are those of its pill; `note` is a
    technical detail for the person who fixes it. `problems` are the permissions that are missing or failed,
    `expected` all other permissions that the step tested.
    """

    title: str
    style: str
    symbol: str
    label: str
    sentence: str
    note: str
    duration: str
    problems: tuple[PermissionRow, ...] = ()
    expected: tuple[PermissionRow, ...] = ()


def build_step_row(
    step: CheckStep, connection: str, now: datetime, credentials: Sequence[str] = ()
) -> StepRow:
    """Build the row of a step. `credentials`: the names of those that the authentication of the connection uses."""
    style, mark, word = _step_pill(step)
    took = "" if step.seconds is None else short_duration(step.seconds)
    note = str(step.facts.get("message", "")) if step.is_good is False else ""
    sentence = _step_sentence(step, connection, now, credentials)
    permissions = [build_permission_row(finding) for finding in step.facts.get("findings", ())]
    return StepRow(
        step_title(step.name),
        style,
        mark,
        word,
        sentence,
        note,
        took,
        problems=tuple(row for row in permissions if not row.is_expected),
        expected=tuple(row for row in permissions if row.is_expected),
    )


def step_title(name: str) -> str:
    return {
        "name": _("Name (DNS)"),
        "transport": _("Connection (TCP and TLS)"),
        "credentials": _("Credentials"),
        "read": _("Sample call"),
        "permissions": _("Permissions of the credentials"),
    }[name]


def step_result(code: str) -> str:
    """Describe the result of a step by its code alone, which is all that the audit log holds."""
    if code in CATALOGUE:
        return _catalogue_title(code, "")
    good = {
        "name-known": _("known"),
        "transport-plain": _("connected, not encrypted"),
        "transport-encrypted": _("connected, encrypted"),
        "client-certificate-ending": _("connected, the client certificate expires soon"),
        "token-given": _("token received"),
        "read": _("answered"),
        "read-unproved": _("answered"),
        "probe-answered": _("answered"),
        "linked-read": _("answered"),
        "linked-missing": _("answered, but no linked record can be read"),
    }
    return good.get(code) or _failure_sentences().get(code) or code.replace("-", " ")


def _step_pill(step: CheckStep) -> tuple[str, str, str]:
    if step.is_good is None:
        word = _("Skipped") if step.code == "not-reached" else _("Unknown")
        return "quiet", "–", word
    warnings = {
        "transport-plain": _("Not encrypted"),
        "client-certificate-ending": _("Expires soon"),
        "linked-missing": _("Not found"),
        "permissions-limited": _("Limited"),
    }
    if step.code in warnings:
        return "warn", "!", warnings[step.code]
    return ("good", "✓", _("OK")) if step.is_good else ("bad", "✕", _("Failed"))


def _step_sentence(step: CheckStep, connection: str, now: datetime, credentials: Sequence[str]) -> str:
    if step.code in CATALOGUE:
        return f"{_catalogue_title(step.code, connection)}. {_next_step(step.code, credentials)}"
    if step.code == "settings-invalid":
        sentence = _read_stored_sentence(step.facts["sentence"])
        return _("The settings are invalid: %(sentence)s") % {"sentence": sentence}
    text = _SENTENCE_BUILDERS.get(step.code)
    sentence = text(step.facts, now) if text else _failure_sentences().get(step.code, step.code)
    if step.is_good and step.facts.get("linked") and not step.code.startswith("linked-"):
        sentence = f"{sentence} {_linked_sentence(step.facts, now)}"
    left_out = int(step.facts.get("left_out", 0))
    untested = ngettext("%d permission was not tested.", "%d permissions were not tested.", left_out)
    return f"{sentence} {untested % left_out}" if left_out else sentence


def _read_stored_sentence(stored: str | Mapping[str, Any]) -> str:
    """Return a sentence of a stored test. Version 0.1.0 stored its template with its parameters, which may be such
    sentences too.
    """
    if isinstance(stored, str):
        return stored
    is_plural = stored.get("plural") and stored["number"] != 1
    template: str = stored["plural" if is_plural else "template"]
    params = {name: _read_stored_sentence(value) for name, value in stored["params"].items()}
    return template % params if params else template


def _catalogue_title(code: str, connection: str) -> str:
    """Return the catalogue's title of a code, in other words where that speaks of an event."""
    values = {"connection": connection or _("the system")}
    if code.endswith("-rejected"):
        return _("%(connection)s rejected the test request") % values
    if code.endswith("-forbidden"):
        return _("%(connection)s denies access to the data that the test reads") % values
    return describe_code(code, connection).title


def _next_step(code: str, credentials: Sequence[str]) -> str:
    """Return what to do after a failed step, instead of the catalogue's next step, which is about an event."""
    if code.endswith("-credentials"):
        return _next_step_after_refused_credentials(credentials)
    if code == HUB_EXHAUSTED_CODE:
        return _("Test again later. If this continues, an administrator must check the log.")
    sentences = {
        "unavailable": _("Test again later. If this continues, contact the operator of that system."),
        "timeout": _(
            "Test again later. If this continues, contact the operator of that system, or raise the timeout on "
            "this page."
        ),
        "throttled": _("Wait a few minutes, then test again."),
        "forbidden": _(
            "Ask the operator of that system to grant access to these credentials, then test again."
        ),
        "not-configured": _("Add the missing setting on this page, then test again."),
        "over-budget": _("Simplify the expression in the settings on this page, then test again."),
    }
    other = _(
        "Compare the base URL and the settings on this page with the documentation of that system, then test again."
    )
    return next((text for ending, text in sentences.items() if code.endswith(f"-{ending}")), other)


def _next_step_after_refused_credentials(credentials: Sequence[str]) -> str:
    if not credentials:
        return _("Choose an authentication on this page and enter its credentials, then test again.")
    names = ", ".join(str(CREDENTIAL_LABELS[name]) for name in credentials)
    text = _(
        "Check these credentials on this page: %(names)s. If they are correct, ask the operator of that system what "
        "they are allowed to do. Then test again."
    )
    return text % {"names": names}


def _failure_sentences() -> Mapping[str, str]:
    return {
        "not-reached": _("An earlier step failed."),
        "credentials-unreadable": _(
            "The stored credentials cannot be decrypted, so none were sent. Check the base URL and the token endpoint, "
            "then enter the credentials again."
        ),
        "not-known": _("Credentials are sent with the sample call, which did not get the expected response."),
        "name-unknown": _("Host name not found. Check the base URL, or ask the operator of its DNS server."),
        "name-late": _("The DNS server did not respond in time. Ask its operator."),
        "address-forbidden": _(
            "The hub may not connect to the address of this host. What it may contact is set by EGRESS_ALLOW, and "
            "limited by “networks” of the settings."
        ),
        "connection-refused": _(
            "The connection was refused. Check the port, and that the system is running."
        ),
        "no-connection": _("Could not connect. A firewall may block the connection."),
        "no-answer": _("No response in time. A firewall may block the connection, or the system hangs."),
        "no-tls": _(
            "The port does not speak TLS. Check the port. Do not use http:// for a system on another network."
        ),
        "tls-refused": _(
            "The system ended the TLS handshake. It may require a client certificate: see “client_certificate” of the "
            "authentication."
        ),
        "client-certificate-required": _(
            "The system requires a client certificate. Set “client_certificate” in the authentication, and enter the "
            "certificate and its key."
        ),
        "client-certificate-refused": _(
            "The system refused the client certificate. Ask its operator which certificates it accepts."
        ),
        "client-certificate-expired": _(
            "The client certificate has expired. Enter a new one, then test again."
        ),
        "too-slow": _("The test ran out of time."),
        "none-needed": _("Not required."),
        "shown-by-read": _("Accepted in the sample call."),
        "not-proved": _("Not shown by the sample call."),
        "linked-unread": _("No linked record can be read."),
        "read-refused": _("The system refused the sample call, but not all others: see the permissions."),
        "permissions-given": _("Everything that was tested is allowed."),
        "permissions-limited": _("Not everything is allowed."),
        "permissions-missing": _("A required request is refused or does not work."),
        "permissions-incomplete": _("The test ran out of time before all permissions were tested."),
    }


def _addresses_sentence(facts: Mapping[str, Any], _now: datetime) -> str:
    text = ", ".join(facts.get("addresses", ()))
    more = int(facts.get("more", 0))
    return text + (ngettext(" and %d more", " and %d more", more) % more if more else "")


def _encrypted_sentence(facts: Mapping[str, Any], now: datetime) -> str:
    text = _("Encrypted. %(certificate)s") % {"certificate": certificate_sentence(facts, now)}
    return f"{text} {_client_certificate_sentence(facts, now)}".strip()


def _client_certificate_sentence(facts: Mapping[str, Any], now: datetime) -> str:
    """Say which client certificate TLS presents and when it expires; empty if there is none."""
    ends_at = facts.get("client_ends_at")
    if not isinstance(ends_at, str):
        return ""
    days = max(0, (datetime.fromisoformat(ends_at) - now).days)
    sentence = ngettext(
        "The hub’s own certificate, “%(subject)s”, expires in %(days)d day.",
        "The hub’s own certificate, “%(subject)s”, expires in %(days)d days.",
        days,
    )
    return sentence % {"subject": facts.get("client", ""), "days": days}


def certificate_sentence(facts: Mapping[str, Any], now: datetime) -> str:
    """Say who issued the certificate and when it expires; empty if none was read."""
    ends_at = certificate_end(facts)
    if ends_at is None:
        return ""
    values = {"issuer": facts.get("issuer", ""), "days": abs((ends_at - now).days)}
    if ends_at <= now:
        days = (now - ends_at).days
        sentence = ngettext(
            "The certificate issued by “%(issuer)s” expired %(days)d day ago.",
            "The certificate issued by “%(issuer)s” expired %(days)d days ago.",
            days,
        )
        return sentence % {**values, "days": days}
    sentence = ngettext(
        "The certificate issued by “%(issuer)s” expires in %(days)d day.",
        "The certificate issued by “%(issuer)s” expires in %(days)d days.",
        values["days"],
    )
    return sentence % values


def certificate_end(facts: Mapping[str, Any]) -> datetime | None:
    """Return when the certificate of a step expires, or None."""
    text = facts.get("ends_at")
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _certificate_problem(sentence: Callable[[], str]) -> Callable[[Mapping[str, Any], datetime], str]:
    return lambda facts, now: f"{sentence()} {certificate_sentence(facts, now)}".strip()


def _token_sentence(facts: Mapping[str, Any], _now: datetime) -> str:
    span = long_duration(float(facts.get("good_for", 0)))
    return _("The token endpoint returned a token that is valid for %(span)s.") % {"span": span}


def _linked_sentence(facts: Mapping[str, Any], _now: datetime) -> str:
    return _("A record that the hub has linked can be read.")


def _unread_sentence(facts: Mapping[str, Any]) -> str:
    count = int(facts.get("linked", 0))
    sentence = ngettext(
        "The newest linked record cannot be read.",
        "None of the %(count)d newest linked records can be read.",
        count,
    )
    return sentence % {"count": count}


def _unread_only_sentence(facts: Mapping[str, Any], _now: datetime) -> str:
    advice = _(
        "The system may ignore the credentials and answer as it does without any: check them on this page. Or these "
        "records were deleted there."
    )
    return f"{_unread_sentence(facts)} {advice}"


def _missing_sentence(facts: Mapping[str, Any], now: datetime) -> str:
    advice = _("They may have been deleted there, or the base URL may lead to another system.")
    return f"{_sample_call_sentence(facts, now)} {_unread_sentence(facts)} {advice}"


def _sample_call_sentence(facts: Mapping[str, Any], _now: datetime) -> str:
    values = {"call": facts.get("call", ""), "status": facts.get("status"), "found": facts.get("found")}
    sentence = ngettext(
        "Responded; %(found)s record found (%(call)s, %(status)s).",
        "Responded; %(found)s records found (%(call)s, %(status)s).",
        int(values["found"]),
    )
    return sentence % values


def _absent_id_sentence(facts: Mapping[str, Any], _now: datetime) -> str:
    text = _(
        "Responded that there is no such record (%(call)s, %(status)s). A wrong path or refused credentials may get "
        "the same response: add a list or a probe to the settings."
    )
    return text % {"call": facts.get("call", ""), "status": facts.get("status")}


def _probe_sentence(facts: Mapping[str, Any], _now: datetime) -> str:
    return _("Responded (%(call)s, %(status)s).") % {
        "call": facts.get("call", ""),
        "status": facts.get("status"),
    }


def _missing_credential_sentence(facts: Mapping[str, Any], _now: datetime) -> str:
    names = CREDENTIAL_LABELS[facts["credential"]]
    return _(
        "Missing credentials: %(names)s. All requests to this connection fail until they are stored."
    ) % {"names": names}


_SENTENCE_BUILDERS: Mapping[str, Callable[[Mapping[str, Any], datetime], str]] = {
    "credential-missing": _missing_credential_sentence,
    "name-known": _addresses_sentence,
    "transport-plain": lambda *_args: _("Connected, but not encrypted: the base URL starts with http://."),
    "transport-encrypted": _encrypted_sentence,
    "client-certificate-ending": _encrypted_sentence,
    "certificate-expired": _certificate_problem(
        lambda: _("The certificate has expired. Its owner must renew it.")
    ),
    "certificate-not-yet-valid": _certificate_problem(
        lambda: _("The certificate is not valid yet. Compare the clocks of both systems.")
    ),
    "certificate-of-another-name": _certificate_problem(
        lambda: _("The certificate is for a different host name.")
    ),
    "certificate-untrusted": _certificate_problem(
        lambda: _(
            "The certificate is signed by an untrusted authority. Add its CA certificate to the “ca” setting."
        )
    ),
    "token-given": _token_sentence,
    "read": _sample_call_sentence,
    "read-unproved": _absent_id_sentence,
    "probe-answered": _probe_sentence,
    "linked-read": _linked_sentence,
    "linked-unread": _unread_only_sentence,
    "linked-missing": _missing_sentence,
}
