"""Texts and pills of states and codes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from config_schema.codes.codes import CATALOGUE, LANGUAGES, CodeTexts, code_texts
from sync.attempts.absence import ABSENCE_CODES
from sync.models import Connection, Route
from sync.models import Mapping as MappingRow
from sync.operations.passed_causes import PassedCause
from sync.planning.change import ChangeAction
from webhooks.models import State

_STATE_SYMBOLS: Mapping[str, str] = {
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
_IN_PROGRESS_TEXTS: Mapping[str, Callable[[], CodeTexts]] = {
    State.PENDING: lambda: CodeTexts(
        _("Queued"), _("Stored; it will be delivered shortly."), _("Nothing to do.")
    ),
    State.RUNNING: lambda: CodeTexts(
        _("Delivering"), _("An attempt is in progress."), _("Reload to see the result.")
    ),
}

# Nothing is delivered: the route only plans the change.
_OBSERVING_TEXTS: Mapping[str, Callable[[], str]] = {
    State.PENDING: lambda: _(
        "Stored; the change will be planned shortly. The route observes, so nothing will be sent."
    ),
    State.RUNNING: lambda: _("The change is being planned. The route observes, so nothing is sent."),
}


def render_state_pill(state: str) -> SafeString:
    """Render a state as a label and a symbol, so that it does not depend on colour."""
    return render_pill(state, _STATE_SYMBOLS.get(state, "?"), state_name(state))


def render_short_state_pill(state: str) -> SafeString:
    """Render a state for a narrow column: as `render_state_pill`, but always with one word."""
    label = str(State(state).label).capitalize() if state in State.values else state
    return render_pill(state, _STATE_SYMBOLS.get(state, "?"), label)


def state_name(state: str) -> str:
    """Return the console's name of a state; an unknown state is returned as it is."""
    if state == State.HELD:
        return _("Held for approval")
    return str(State(state).label).capitalize() if state in State.values else state


def render_pill(style: str, symbol: str, label: str) -> SafeString:
    """Render a label with a symbol before it; screen readers read the label only."""
    return format_html(
        '<span class="pill pill-{}"><span aria-hidden="true">{}</span> {}</span>', style, symbol, label
    )


def explain_outcome(state: str, code: str, connection: str = "", *, is_observing: bool = False) -> CodeTexts:
    """Return title, detail and next step for an event or a delivery in this state with this code.

    `is_observing`: its route plans the change and sends nothing.
    """
    if state in _IN_PROGRESS_TEXTS:
        texts = _IN_PROGRESS_TEXTS[state]()
        return replace(texts, detail=_OBSERVING_TEXTS[state]()) if is_observing else texts
    texts = describe_code(code or state, connection)
    # Rows may carry a code that a newer version has dropped.
    entry = CATALOGUE.get(code)
    if state == State.HELD and code in ABSENCE_CODES:
        return replace(texts, next_step=_next_step_after_absence())
    if state == State.DEAD and entry is not None and entry.replay_helps:
        return replace(texts, next_step=_next_step_after_retries(entry.owner, connection))
    return texts


def describe_planned_action(action: str, event_type: str) -> str:
    """Return what a planned change will do to the record. An update for a deletion deactivates it."""
    if action == ChangeAction.UPDATE and event_type == "DELETE":
        return _("Will be deactivated")
    return {
        ChangeAction.CREATE: _("Will be created"),
        ChangeAction.UPDATE: _("Will be updated"),
        ChangeAction.DELETE: _("Will be deleted"),
    }.get(ChangeAction(action), _("Will not be changed"))


def explain_pause(*, is_observing: bool = False) -> CodeTexts:
    """Return the texts of a delivery that is on hold because its source or its route is paused."""
    next_step = _("It will be delivered when an administrator resumes the source or route.")
    if is_observing:
        next_step = _("The change will be planned when an administrator resumes the source or route.")
    return CodeTexts(
        _("On hold: source or route is paused"), _("The event is stored; nothing is lost."), next_step
    )


def explain_absent_entity(identity: str, connection: str, *, is_left_alone: bool) -> CodeTexts:
    """Return the texts of a deleted entity without a record. `is_left_alone`: the route never looks for a record."""
    text = _("%(identity)s does not have this entity, and %(connection)s has no record of it.")
    if is_left_alone:
        text = _("%(identity)s does not have this entity, and the route does not change the record.")
    names = {"identity": identity, "connection": connection}
    return CodeTexts(_("Nothing to do"), text % names, _("Nothing was sent."))


def explain_left_out_fields(connection: str, fields: Sequence[str]) -> CodeTexts:
    """Return the texts of a delivery that sent nothing, because the target does not keep the fields that differ."""
    text = _(
        "These fields differ, but were not sent: %(fields)s. %(connection)s accepts them but does not store them."
    )
    return CodeTexts(
        _("%(connection)s does not keep some values") % {"connection": connection},
        text % {"fields": ", ".join(fields), "connection": connection},
        _("Correct the mapping or the target. A replay sends them again."),
    )


def advise_after_cause(texts: CodeTexts, passed: PassedCause | None) -> CodeTexts:
    """Return the texts of a failure. Once its cause has passed, the advice from before that does not hold any more."""
    if passed is None:
        return texts
    if passed.setting is None:
        text = _("Another delivery that failed for the same reason has succeeded since. Replay this.")
        return replace(texts, next_step=text)
    text = _("%(setting)s was changed after this failure, so a replay may succeed now. Its preview shows it.")
    return replace(texts, next_step=text % {"setting": _setting_name(passed.setting)})


def _setting_name(setting: Route | MappingRow | Connection) -> str:
    if isinstance(setting, Route):
        return _("The route")
    text = _("The mapping “%(name)s”") if isinstance(setting, MappingRow) else _("The connection “%(name)s”")
    return text % {"name": setting.name}


def _next_step_after_absence() -> str:
    """Return the next step of a held absence, instead of the catalogue's, which says that the hub retries."""
    return _(
        "The hub has stopped retrying. Test the connection; then replay, which checks again. If it was deleted, "
        "approve the delivery."
    )


def _next_step_after_retries(owner: str, connection: str) -> str:
    """Return the next step after the last retry, instead of the catalogue's, which says that the hub retries."""
    if owner == "hub":
        return _("The hub has stopped retrying. An administrator must fix the cause; then replay.")
    text = _("The hub has stopped retrying. Contact the owner of %(system)s, and replay when it works again.")
    return text % {"system": connection or _("the system")}


def describe_code(code: str, connection: str = "") -> CodeTexts:
    """Return the catalogue's texts of a code in the person's language; an unknown code is its own title."""
    if code not in CATALOGUE:
        return CodeTexts(
            code, _("The code of this outcome is %(code)s.") % {"code": code} if code else "", ""
        )
    primary = (get_language() or "").partition("-")[0]
    language = next((code_language for code_language in LANGUAGES if code_language == primary), LANGUAGES[0])
    return code_texts(code, language, connection=connection, translate=_)


def describe_failure(code: str, connection: Connection) -> CodeTexts:
    """Return the texts of deliveries that failed with this code at this connection."""
    return (
        explain_outcome(State.DEAD, code, connection.name) if code else describe_code("dead", connection.name)
    )


def is_replayable(code: str) -> bool:
    """Return True if a replay can succeed without a change of the data."""
    return code in CATALOGUE and CATALOGUE[code].replay_helps


def is_worth_a_replay(code: str) -> bool:
    """Return True if a list may offer a replay at once, with no action of an administrator before."""
    return code in CATALOGUE and CATALOGUE[code].is_worth_a_replay
