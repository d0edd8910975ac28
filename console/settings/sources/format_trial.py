"""Page on which a webhook format is tried out: which value each entry gives for a request. Saves and sends nothing.

For people who may change the source.
"""

import json
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from config_schema.errors import SettingsInvalid
from console.base.admin_pages import AdminWithPages, admin_page
from console.base.forms import parse_pk
from console.base.json_text import JsonTextError, line_number_of, normalize_newlines, parse_json_text
from console.payloads.reveal import RevealPurpose, reveal_events, revealed_events
from console.permissions import CONTENTS
from console.ui.outcome_texts import describe_code
from database.encryption.at_rest import CannotDecrypt
from webhooks.models import Event, Source
from webhooks.protocol.formats.format_trial import EventTrial, FormatTrial, try_format
from webhooks.protocol.formats.webhook_format import MAX_BODY_BYTES, WebhookFormat
from webhooks.protocol.strict_form import FORM_TYPE, is_form
from webhooks.protocol.strict_json import MalformedBody

MAX_SAMPLES = 10
MAX_TEXT = 65_536


@dataclass(frozen=True, slots=True)
class TrialInput:
    """Input of a format trial: the format and a request as texts, or the key of the event whose request is read."""

    webhook_format: str
    event: str = ""
    body: str = ""
    headers: str = ""
    query: str = ""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """Result of a format trial, or in `problem` a sentence that says why there is none. `is_masked`: nothing was
    evaluated, because the contents of the event are not revealed.
    """

    trial: FormatTrial | None = None
    problem: str = ""
    is_masked: bool = False

    @property
    def rows(self) -> list[tuple[EventTrial, str]]:
        """Return each event of the trial with a sentence about its outcome."""
        events = self.trial.events if self.trial is not None else ()
        return [(event, _outcome_sentence(event)) for event in events]


@admin_page("<int:pk>/format/", "format")
def format_view(source_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the stored format; on POST, try out the posted one, or reveal the selected event for that."""
    source: Source = source_admin.get_changeable(request, pk)
    trial_input, result = TrialInput(_format_text(source)), None
    if request.method == "POST":
        trial_input = _read_trial_input(request)
        if "reveal" in request.POST:
            chosen = Event.objects.filter(pk=parse_pk(trial_input.event) or 0, source=source)
            reveal_events(request, list(chosen), RevealPurpose.FORMAT_TRIALS)
        result = run_trial(source, trial_input, revealed_events(request, RevealPurpose.FORMAT_TRIALS))
    context = {
        "title": _("Try out the webhook format of %(source)s") % {"source": source},
        "source": source,
        "trial_input": trial_input,
        "result": result,
        "samples": _list_recent_events(request, source),
        "may_see": request.user.has_perm(CONTENTS),
        "longest": MAX_TEXT,
        "longest_body": MAX_BODY_BYTES,
    }
    return source_admin.render_page(request, "console/settings/sources/format.html", context)


def run_trial(source: Source, trial_input: TrialInput, revealed: frozenset[int]) -> TrialResult:
    """Read the pasted request, or that of the selected event, by the posted format.

    Only `revealed` events are evaluated: even a result without values tells what they are, expression by expression.
    """
    try:
        _check_lengths(trial_input)
        webhook_format = _parse_format(trial_input.webhook_format)
        if not trial_input.event:
            body, headers = trial_input.body.encode(), _parse_headers(trial_input.headers)
            if webhook_format.content_types == {FORM_TYPE}:
                headers = {"content-type": FORM_TYPE} | headers
            if is_form(headers.get("content-type", "")):
                # A line break at the end is that of the text area.
                body = body.strip()
        elif parse_pk(trial_input.event) not in revealed:
            return TrialResult(is_masked=True)
        else:
            body, headers = _read_stored_request(source, trial_input.event), {}
    except JsonTextError as error:
        return TrialResult(problem=str(error))
    try:
        if len(body) > webhook_format.max_bytes:
            raise MalformedBody("too-large")
        trial = try_format(
            webhook_format,
            body,
            headers=headers,
            query_string=trial_input.query,
            extra_id_characters=source.extra_id_characters,
        )
    except MalformedBody as error:
        return TrialResult(problem=f"{describe_code(error.code).title} ({error.code})")
    return TrialResult(trial)


def _check_lengths(trial_input: TrialInput) -> None:
    """Raise JsonTextError if a text is too long. None is cut: the rest of it could mean something else."""
    for label, text, longest in (
        (_("Webhook format"), trial_input.webhook_format, MAX_TEXT),
        (_("Body, as it is sent"), trial_input.body, MAX_BODY_BYTES),
        (_("Headers, as JSON"), trial_input.headers, MAX_TEXT),
        (_("Query"), trial_input.query, MAX_TEXT),
    ):
        if len(text) > longest:
            values = {"field": label, "most": longest}
            raise JsonTextError(_("“%(field)s” has more than %(most)s characters.") % values)


def _parse_format(text: str) -> WebhookFormat:
    document = parse_json_text(text or "{}")
    try:
        return WebhookFormat.kind.read(document, ())
    except SettingsInvalid as invalid:
        raise JsonTextError(invalid.sentence, line_number_of(text, invalid.place), invalid.path) from invalid


def _parse_headers(text: str) -> dict[str, str]:
    headers = parse_json_text(text or "{}")
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise JsonTextError(_("Enter the headers as a JSON object of texts."))
    return {name.lower(): value for name, value in headers.items()}


def _read_stored_request(source: Source, key: str) -> bytes:
    """Read the stored request of an event of this source. Raises JsonTextError if it is no longer stored."""
    events = Event.objects.filter(pk=parse_pk(key) or 0, source=source)
    event = events.select_related("payload__subject").first()
    if event is None or event.payload is None:
        raise JsonTextError(_("The request of this event is no longer stored."))
    try:
        stored = event.payload.decrypt()
    except CannotDecrypt as error:
        raise JsonTextError(_("The request of this event is no longer stored.")) from error
    document = json.loads(stored)
    # A webhook that a format has read is stored with what the sender sent.
    if isinstance(document, dict) and "event" in document and "entityType" in document:
        return json.dumps(document.get("body", document["event"])).encode()
    return stored


def _list_recent_events(request: HttpRequest, source: Source) -> list[Event]:
    if not request.user.has_perm(CONTENTS):
        return []
    events = Event.objects.filter(source=source, payload__isnull=False)
    return list(events.order_by("-received_at", "-pk")[:MAX_SAMPLES])


def _outcome_sentence(event: EventTrial) -> str:
    if not event.code:
        return _("This event would be delivered by the routes of its entity type.")
    return describe_code(event.code).title


def _format_text(source: Source) -> str:
    return json.dumps(source.webhook_format or {}, indent=2, ensure_ascii=False)


def _read_trial_input(request: HttpRequest) -> TrialInput:
    names = ("webhook_format", "body", "headers", "query")
    texts: dict[str, Any] = {name: normalize_newlines(request.POST.get(name, "")) for name in names}
    return TrialInput(event=request.POST.get("event", ""), **texts)
