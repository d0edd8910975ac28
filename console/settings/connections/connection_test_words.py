"""Texts of the steps of a connection test. Pure: `now` is passed in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.ui.formatting import long_duration, short_duration
from console.ui.outcome_texts import describe_code
from sync.connectors.connection_check import CheckStep
from webhooks.catalogue.codes import CATALOGUE


@dataclass(frozen=True, slots=True)
class StepRow:
    """Show one step. `style`, `symbol` and `label` are those of its pill; `note` is technical detail for whoever fixes
    it.
    """

    title: str
    style: str
    symbol: str
    label: str
    sentence: str
    note: str
    duration: str


def build_step_row(step: CheckStep, connection: str, now: datetime) -> StepRow:
    """Build the row of a step."""
    style, mark, word = _step_pill(step)
    took = "" if step.seconds is None else short_duration(step.seconds)
    note = str(step.facts.get("message", "")) if step.is_good is False else ""
    return StepRow(
        step_title(step.name), style, mark, word, _step_sentence(step, connection, now), note, took
    )


def step_title(name: str) -> str:
    """Return the title of a step."""
    return {
        "name": _("Name (DNS)"),
        "way": _("Connection (TCP and TLS)"),
        "credentials": _("Credentials"),
        "read": _("Sample call"),
    }[name]


def step_result(code: str) -> str:
    """Describe the result of a step by its code alone, which is all that the audit log holds."""
    if code in CATALOGUE:
        return describe_code(code).title
    good = {
        "name-known": _("known"),
        "way-plain": _("connected, not encrypted"),
        "way-encrypted": _("connected, encrypted"),
        "token-given": _("a token was given"),
        "read": _("answered"),
    }
    return good.get(code) or _failure_sentences().get(code) or code.replace("-", " ")


def _step_pill(step: CheckStep) -> tuple[str, str, str]:
    if step.is_good is None:
        word = _("Not known") if step.code == "not-known" else _("Not reached")
        return "quiet", "–", word
    if step.code == "way-plain":
        return "warn", "!", _("Not encrypted")
    return ("good", "✓", _("OK")) if step.is_good else ("bad", "✕", _("Failed"))


def _step_sentence(step: CheckStep, connection: str, now: datetime) -> str:
    if step.code in CATALOGUE:
        texts = describe_code(step.code, connection)
        return f"{texts.title}. {texts.next_step}"
    if step.code == "settings-invalid":
        return _("The settings cannot be used: %(sentence)s") % {"sentence": step.facts.get("sentence", "")}
    text = _SENTENCE_BUILDERS.get(step.code)
    return text(step.facts, now) if text else _failure_sentences().get(step.code, step.code)


def _failure_sentences() -> Mapping[str, str]:
    return {
        "not-reached": _("An earlier step failed."),
        "not-known": _("They go out with the sample call, which was not answered as it should be."),
        "name-unknown": _(
            "Nobody knows this host name. Check the base URL, or ask who runs its name server."
        ),
        "name-late": _("The name server gave no answer in time. Ask who runs it."),
        "address-forbidden": _(
            "The hub may not connect to where this name leads: the address is reserved, or outside the networks of "
            "this connection."
        ),
        "connection-refused": _(
            "Nothing listens at this address and port. Check the port, and that it runs."
        ),
        "no-connection": _("No connection could be made. A firewall may stand between."),
        "no-answer": _("No answer in time. A firewall may stand between, or the system hangs."),
        "no-tls": _(
            "It speaks no TLS here. Check the port; do not use http:// for a system on another network."
        ),
        "too-slow": _("The time for the whole test was over."),
        "none-needed": _("None are sent."),
        "shown-by-read": _("Accepted with the sample call."),
    }


def _addresses_sentence(facts: Mapping[str, Any], _now: datetime) -> str:
    text = ", ".join(facts.get("addresses", ()))
    more = int(facts.get("more", 0))
    return text + (ngettext(" and %d more", " and %d more", more) % more if more else "")


def _encrypted_sentence(facts: Mapping[str, Any], now: datetime) -> str:
    return _("Encrypted. %(certificate)s") % {"certificate": certificate_sentence(facts, now)}


def certificate_sentence(facts: Mapping[str, Any], now: datetime) -> str:
    """Say who issued the certificate and when it expires; empty if none was read."""
    ends_at = certificate_end(facts)
    if ends_at is None:
        return ""
    values = {"issuer": facts.get("issuer", ""), "days": abs((ends_at - now).days)}
    if ends_at <= now:
        days = (now - ends_at).days
        sentence = ngettext(
            "Its certificate by “%(issuer)s” expired %(days)d day ago.",
            "Its certificate by “%(issuer)s” expired %(days)d days ago.",
            days,
        )
        return sentence % {**values, "days": days}
    sentence = ngettext(
        "Its certificate by “%(issuer)s” expires in %(days)d day.",
        "Its certificate by “%(issuer)s” expires in %(days)d days.",
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
    return _("The token endpoint gave a token that is good for %(span)s.") % {"span": span}


def _sample_call_sentence(facts: Mapping[str, Any], _now: datetime) -> str:
    values = {"call": facts.get("call", ""), "status": facts.get("status"), "found": facts.get("found")}
    if values["found"] is None:
        return _("Answered as it should: there is no such record (%(call)s, %(status)s).") % values
    sentence = ngettext(
        "Answered; %(found)s record found (%(call)s, %(status)s).",
        "Answered; %(found)s records found (%(call)s, %(status)s).",
        int(values["found"]),
    )
    return sentence % values


_SENTENCE_BUILDERS: Mapping[str, Callable[[Mapping[str, Any], datetime], str]] = {
    "name-known": _addresses_sentence,
    "way-plain": lambda *_args: _(
        "Connected, but everything can be read on the way: the address begins with http://."
    ),
    "way-encrypted": _encrypted_sentence,
    "certificate-expired": _certificate_problem(
        lambda: _("The certificate has expired. Its owner must renew it.")
    ),
    "certificate-not-yet-valid": _certificate_problem(
        lambda: _("The certificate is not valid yet. Compare the clocks.")
    ),
    "certificate-of-another-name": _certificate_problem(
        lambda: _("The certificate is for another name than this one.")
    ),
    "certificate-untrusted": _certificate_problem(
        lambda: _("Nobody whom the hub trusts vouches for the certificate. Add its authority as “ca”.")
    ),
    "token-given": _token_sentence,
    "read": _sample_call_sentence,
}
