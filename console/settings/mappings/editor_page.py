"""The state of a mapping's editor between two requests, and what its page shows of it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.http import HttpRequest

from console.base.json_text import MAX_LENGTH, JsonTextError, normalize_newlines, parse_json_text
from console.payloads.reveal import RevealPurpose, revealed_events
from console.payloads.sample_tree import build_sample_tree
from console.permissions import CONTENTS
from console.settings.field_lists import mapping_field_list
from console.settings.mappings.mapping_trial import MappingTrial, TrialProblem, parse_declaration, run_trial
from console.settings.mappings.table.edits import TableEdit
from console.settings.mappings.table.known_ends import KnownEnds, describe_ends
from console.settings.mappings.table.live_sample import may_fetch
from console.settings.mappings.table.person_names import name_sample
from console.settings.mappings.table.rows import (
    ABSENT_LABELS,
    MISSING_LABELS,
    build_table,
    is_table,
    parse_valid_part,
)
from console.settings.mappings.table.samples import (
    KnownSamples,
    PostedSample,
    Sample,
    choose_sample,
    list_sample_events,
)
from console.settings.mappings.words import FUNCTION_LABELS
from sync.mappings.backtests import routes_using_mapping
from sync.models import Mapping, Route
from sync.planning.mapping_declaration import parse_mapping

EMPTY_DECLARATION = '{\n  "fields": {\n    "email": {"path": "entity.email"}\n  },\n  "match": {}\n}'
MAX_ROUTES = 20


class View(StrEnum):
    """The two views of a declaration."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class EditorState:
    """The text of the declaration, how it is shown, and the chosen sample. `problems`: what could not be done."""

    text: str
    view: View = View.JSON
    open_row: str = ""
    problems: tuple[str, ...] = ()
    sample: PostedSample = field(default_factory=PostedSample)
    sample_problem: str = ""


@dataclass(frozen=True, slots=True)
class Environment:
    """What is around a mapping: its routes, what is known of their systems, and the samples."""

    routes: Sequence[Route]
    ends: KnownEnds
    known: KnownSamples


def load_environment(request: HttpRequest, mapping: Mapping) -> Environment:
    """Load what is around a mapping."""
    routes = _list_routes(mapping)
    ends = describe_ends(routes)
    known = KnownSamples(
        tuple(list_sample_events(routes)),
        ends.example,
        revealed_events(request, RevealPurpose.MAPPING_TRIALS),
        sees_contents=request.user.has_perm(CONTENTS),
    )
    return Environment(routes, ends, known)


def read_state(request: HttpRequest, mapping: Mapping) -> EditorState:
    """Read a posted form: edit its declaration as the controls of the table say, and press its button."""
    posted = request.POST
    text = normalize_newlines(posted.get("declaration", ""))
    sample = PostedSample(
        posted.get("event", ""),
        *(normalize_newlines(posted.get(name, "")) for name in ("entity", "webhook")),
    )
    view = View.TABLE if posted.get("view") == View.TABLE else View.JSON
    document = _parse_table(text)
    edit = TableEdit(document)
    if view is View.TABLE and document is not None:
        edit.read_controls(posted)
        edit.press(posted)
        text = edit.rewrite(text)
        if "draft_presets" in posted and (draft := describe_ends(_list_routes(mapping)).draft):
            text, edit.open_row = json.dumps(draft, indent=2, ensure_ascii=False), ""
    if (shown := posted.get("show")) in list(View):
        view = View(shown)
    if view is View.TABLE and _parse_table(text) is None:
        # The JSON says why it cannot be shown otherwise.
        view = View.JSON
    return EditorState(text, view, edit.open_row, tuple(edit.problems), sample)


def editor_context(request: HttpRequest, state: EditorState, environment: Environment) -> dict[str, Any]:
    """Return the context of `_editor.html`."""
    known, sees_contents = environment.known, environment.known.sees_contents
    sample = choose_sample(state.sample, known, environment.routes)
    document = _parse_table(state.text) if state.view is View.TABLE else None
    if document is None:
        view: dict[str, Any] = {
            "trial": _try_text(state.text, sample),
            "functions": tuple(FUNCTION_LABELS.items()),
            "field_list": mapping_field_list(),
            "is_table_possible": _parse_table(state.text) is not None,
        }
    else:
        mapping = parse_valid_part(document)
        trial = run_trial(mapping, sample) if mapping is not None else None
        names = known.entity_names(sample)
        view = {
            "trial": trial,
            "table": build_table(document, environment.ends.fields, state.open_row, trial, names),
            "tree": build_sample_tree(sample.roots, is_masked=sample.is_masked),
            "absent_labels": ABSENT_LABELS,
            "missing_labels": MISSING_LABELS,
            "may_draft": bool(environment.ends.draft) and _is_empty(document),
        }
    return {
        "state": state,
        "sample": sample,
        "person": name_sample(sample, environment.ends.provides),
        "choices": list(known.recent) if sees_contents else [],
        "has_newest": bool(known.recent) and not sees_contents,
        "has_example": bool(known.example),
        "has_next": sees_contents and len({one.event.entity_id for one in known.recent}) > 1,
        "routes": environment.routes,
        "may_see": sees_contents,
        "may_fetch": may_fetch(request) and bool(environment.routes),
        "longest": MAX_LENGTH,
        **view,
    }


def _list_routes(mapping: Mapping) -> Sequence[Route]:
    # The events of each source are read by a statement of their own.
    return routes_using_mapping(mapping.pk)[:MAX_ROUTES]


def _try_text(text: str, sample: Sample) -> MappingTrial | None:
    try:
        mapping = parse_mapping(parse_declaration(text))
    except JsonTextError as error:
        return MappingTrial(TrialProblem(error.sentence, error.line))
    return run_trial(mapping, sample)


def _parse_table(text: str) -> Any:
    """Return the document of a text; None if the table cannot show it."""
    try:
        document = parse_json_text(text)
    except JsonTextError:
        return None
    return document if is_table(document) else None


def _is_empty(document: Any) -> bool:
    """Return True for a declaration that nobody has written yet."""
    return not document.get("fields") or document == json.loads(EMPTY_DECLARATION)
