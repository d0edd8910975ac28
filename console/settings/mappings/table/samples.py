"""Samples that a mapping is tried out on: a stored entity, a pasted one, or the example of a preset."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.utils.translation import gettext as _

from console.base.forms import parse_pk
from console.base.json_text import JsonTextError, parse_json_text
from console.payloads.masking import MASK
from console.settings.untestable_texts import untestable_text
from sync.mappings.past_entities import PastEvent, past_event_chunks, read_past_events
from sync.models import Route
from sync.planning.mapping_comparison import MappingInput

MAX_SAMPLE_EVENTS = 20
_SEARCHED_EVENTS = 200

# Values of the form field `event` besides the keys of events; "" stands for what is pasted.
NEWEST_SAMPLE, PRESET_SAMPLE = "newest", "preset"


@dataclass(frozen=True, slots=True)
class PostedSample:
    """The fields of the editor that choose a sample: the key of an event, or what is pasted."""

    event: str = ""
    entity: str = ""
    webhook: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a mapping is tried out on. Without a `mapping_input`, `problem` says why; it is empty if no sample was
    chosen. If `is_masked`, only the names of its fields may be shown, and no expression may be evaluated: even a result
    without values tells what they are, expression by expression.
    """

    mapping_input: MappingInput | None = None
    past_event: PastEvent | None = None
    is_masked: bool = False
    problem: str = ""

    @property
    def roots(self) -> Mapping[str, Any]:
        """Return the values that expressions begin with, by name."""
        if self.mapping_input is None:
            return {}
        return {"entity": self.mapping_input.entity, "webhook": self.mapping_input.webhook}


@dataclass(frozen=True, slots=True)
class KnownSamples:
    """The samples of a mapping: its newest stored entities, newest first, and the example of a preset. `revealed`:
    keys of the events whose contents this person sees now.
    """

    recent: tuple[PastEvent, ...] = ()
    example: Mapping[str, Any] = field(default_factory=dict)
    revealed: frozenset[int] = frozenset()
    sees_contents: bool = False

    def first_choice(self) -> str:
        """Return the value of `event` that a page begins with."""
        if self.recent:
            return str(self.recent[0].event.pk) if self.sees_contents else NEWEST_SAMPLE
        return PRESET_SAMPLE if self.example else ""

    def next_choice(self, event: str) -> str:
        """Return the event of the next other entity in the list, from the first again after the last."""
        keys = [str(one.event.pk) for one in self.recent]
        begin = keys.index(event) if event in keys else -1
        current = self.recent[begin].event.entity_id if begin >= 0 else None
        turned = (*self.recent[begin + 1 :], *self.recent[: begin + 1])
        return next((str(one.event.pk) for one in turned if one.event.entity_id != current), event)

    def entity_names(self, *further: Sample) -> frozenset[str]:
        """Return the names of the fields that the entity of any known sample has."""
        inputs = [
            *(stored.mapping_input for stored in self.recent),
            *(sample.mapping_input for sample in further),
        ]
        entities: Iterable[Mapping[str, Any]] = (one.entity for one in inputs if one is not None)
        return frozenset(self.example).union(*(entity.keys() for entity in entities))


def list_sample_events(routes: Sequence[Route]) -> list[PastEvent]:
    """Return the newest events that a declaration can be tried out on."""
    chunks = islice(past_event_chunks(routes, max_events=_SEARCHED_EVENTS), 2)
    return [event for chunk in chunks for event in chunk if event.mapping_input is not None][
        :MAX_SAMPLE_EVENTS
    ]


def choose_sample(posted: PostedSample, known: KnownSamples, routes: Sequence[Route]) -> Sample:
    """Return the sample that the form chose. A person who may not see contents gets the newest entity, masked."""
    if not posted.event:
        return _read_pasted(posted)
    if posted.event == PRESET_SAMPLE and known.example:
        return Sample(MappingInput(known.example, {}))
    if not known.sees_contents:
        newest = known.recent[0] if known.recent else None
        return _masked_sample(newest)
    return _read_stored(posted.event, known, routes)


def _read_stored(key: str, known: KnownSamples, routes: Sequence[Route]) -> Sample:
    stored = _find_event(key, known, routes)
    if parse_pk(key) not in known.revealed:
        return _masked_sample(stored)
    if stored is None:
        return Sample(problem=_("No route of this mapping delivered this event."))
    if stored.mapping_input is None:
        return Sample(problem=untestable_text(str(stored.reason)))
    return Sample(stored.mapping_input, stored)


def _masked_sample(stored: PastEvent | None) -> Sample:
    return Sample(None if stored is None else stored.mapping_input, stored, is_masked=True)


def _find_event(key: str, known: KnownSamples, routes: Sequence[Route]) -> PastEvent | None:
    for sample in known.recent:
        if str(sample.event.pk) == key:
            return sample
    pk = parse_pk(key)
    return next(iter(read_past_events([pk], routes)), None) if pk is not None else None


def _read_pasted(posted: PostedSample) -> Sample:
    if not posted.entity.strip() and not posted.webhook.strip():
        return Sample()
    try:
        entity = _parse_object(_("The entity"), posted.entity)
        webhook = _parse_object(_("The webhook"), posted.webhook) if posted.webhook else {}
    except JsonTextError as error:
        return Sample(problem=error.sentence)
    # Fetched for a person who may not see the values.
    return Sample(MappingInput(entity, webhook), is_masked=MASK in posted.entity)


def _parse_object(what: str, text: str) -> dict[str, Any]:
    try:
        value = parse_json_text(text)
    except JsonTextError as error:
        place = _(", line %(line)s") % {"line": error.line} if error.line else ""
        raise JsonTextError(f"{what}{place}: {error.sentence}") from error
    if not isinstance(value, dict):
        raise JsonTextError(_("%(what)s: enter a JSON object.") % {"what": what})
    return value
