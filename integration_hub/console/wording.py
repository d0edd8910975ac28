"""States, reasons, times and durations in the words of the console. Pure: the moment is passed in."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timeuntil
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from webhooks.codes import CATALOGUE, LANGUAGES, Words, words
from webhooks.models import State

_SHAPES: Mapping[str, str] = {
    State.DEAD: "✕",
    State.HELD: "‖",
    State.RETRYING: "↻",
    State.RUNNING: "▸",
    State.PENDING: "○",
    State.CLOSED: "⊘",
    State.SUPERSEDED: "↷",
    State.IGNORED: "–",
    State.UNCHANGED: "=",
    State.SUCCEEDED: "✓",
}

# A delivery that was taken up again still carries its last attempt's code, which tells nothing of this one.
_UNDER_WAY: Mapping[str, Callable[[], Words]] = {
    State.PENDING: lambda: Words(
        _("Waits for its turn"), _("It is stored and will be delivered next."), _("Nothing to do.")
    ),
    State.RUNNING: lambda: Words(
        _("Is being delivered"), _("An attempt is under way at this moment."), _("Reload to see how it ends.")
    ),
}


def state_mark(state: str) -> SafeString:
    """The state as a word and a shape, so that it does not hang on a colour."""
    return pill(state, _SHAPES.get(state, "?"), state_name(state))


def state_name(state: str) -> str:
    """A state as the console calls it, in its menu too; of one that it does not know (any more), the state itself."""
    if state == State.HELD:
        return _("Held for approval")
    return str(State(state).label).capitalize() if state in State.values else state


def pill(style: str, shape: str, word: str) -> SafeString:
    """A word with its shape before it; only the word is read out."""
    return format_html(
        '<span class="pill pill-{}"><span aria-hidden="true">{}</span> {}</span>', style, shape, word
    )


def reason(state: str, code: str, connection: str = "") -> Words:
    """What became of an event or a delivery, in the words of the catalogue; `next_step` says who must act."""
    if state in _UNDER_WAY:
        return _UNDER_WAY[state]()
    found = code_words(code or state, connection)
    entry = CATALOGUE.get(code)
    if state == State.DEAD and entry is not None and entry.replay_helps:
        return replace(found, next_step=_given_up(entry.owner, connection))
    return found


def paused() -> Words:
    """Of a delivery that is not due while its source or its route is paused."""
    return Words(
        _("Waits because of a pause"),
        _("Its source or its route is paused: it is stored, and nothing is lost."),
        _("It goes on when somebody ends the pause."),
    )


def nothing_there(identity: str, connection: str, *, is_left_alone: bool) -> Words:
    """Of an entity that is gone and of which there was no record. `is_left_alone`: its record was not looked for."""
    told = _("%(identity)s does not have this entity, and %(connection)s has no record of it.")
    if is_left_alone:
        told = _("%(identity)s does not have this entity, and its route leaves the record alone.")
    names = {"identity": identity, "connection": connection}
    return Words(_("There was nothing to do"), told % names, _("Nothing was sent."))


def _given_up(owner: str, connection: str) -> str:
    """What the catalogue says of such a failure, that the hub tries again, is over."""
    if owner == "hub":
        return _("The hub has stopped trying. An administrator must remove the cause; then replay.")
    told = _("The hub has stopped trying. Ask the owner of %(system)s, and replay when it works.")
    return told % {"system": connection or _("the system")}


def code_words(code: str, connection: str = "") -> Words:
    """The words of a code; of one that the catalogue does not have (any more), the code itself.

    In the person's language: the catalogue's own texts, or the translation of the English ones.
    """
    if code not in CATALOGUE:
        return Words(code, _("The code of this outcome is %(code)s.") % {"code": code} if code else "", "")
    asked = (get_language() or "").partition("-")[0]
    language = next((each for each in LANGUAGES if each == asked), LANGUAGES[0])
    return words(code, language, connection=connection, translate=_)


def moment(at: datetime | None, absent: str = "–") -> str | SafeString:
    """A time to the second, in the person's zone; the machine's form is UTC and has its fractions."""
    if at is None:
        return absent
    exact = _exact(at)
    return format_html('<time datetime="{}" title="{}">{}</time>', exact, exact, _told(at))


def clock(at: datetime | None, day: datetime, absent: str = "–") -> str | SafeString:
    """The time of that day alone, `12:22:59`; of any other day all of it. Its title tells it all."""
    if at is None:
        return absent
    local = timezone.localtime(at)
    told = f"{local:%H:%M:%S}" if local.date() == timezone.localtime(day).date() else _told(at)
    return format_html('<time datetime="{}" title="{}">{}</time>', _exact(at), _told(at), told)


def ago(at: datetime | None, now: datetime | None = None, absent: str = "–") -> str | SafeString:
    """How long ago a time was, in one unit: `12 s ago`, `5 min ago`, `3 h ago`, `9 days ago`; its title tells it all.

    What lies ahead of `now` is `now`: clocks differ.
    """
    if at is None:
        return absent
    seconds = int(((now or timezone.now()) - at).total_seconds())
    return format_html('<time datetime="{}" title="{}">{}</time>', _exact(at), _told(at), _since(seconds))


def _since(seconds: int) -> str:
    for name, length, most in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{seconds // length} {name} ago" if seconds >= length else _("now")
    return ngettext("%(count)d day ago", "%(count)d days ago", seconds // 86_400) % {
        "count": seconds // 86_400
    }


def _exact(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _told(at: datetime) -> str:
    local = timezone.localtime(at)
    return f"{local:%Y-%m-%d %H:%M:%S %Z}"


def duration(seconds: float | None) -> str:
    """Milliseconds below ten seconds, then seconds with one decimal."""
    if seconds is None:
        return "–"
    return f"{seconds * 1000:,.0f} ms" if seconds < 10 else f"{seconds:,.1f} s"


def ahead(at: datetime | None, now: datetime) -> str:
    """How far away a time is: `now`, `in 40 s`, `in 12 minutes`; empty where there is none."""
    if at is None:
        return ""
    seconds = (at - now).total_seconds()
    if seconds <= 0:
        return _("now")
    span = f"{seconds:.0f} s" if seconds < 60 else timeuntil(at, now).replace("\xa0", " ")
    return _("in %(span)s") % {"span": span}
