"""Load the messages of remote systems about the failures of a group, with a placeholder for each value.

It is read from the newest failure, where it is encrypted and erased with the entity, and never stored with the group.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from django.db.models import OuterRef, QuerySet, Subquery

from config_schema.codes.codes import is_about_identity
from console.payloads.answer_messages import AnswerMessage, answer_messages, is_found_by_hub
from console.payloads.masking import MASK
from sync.models import Attempt, Delivery, FailureGroup
from sync.planning.failure_reasons import PLACEHOLDER, fold_values
from webhooks.models import State

_MAX_MESSAGES = 3


def load_sentences(groups: Sequence[FailureGroup]) -> dict[int, str]:
    """Return by group what its system said of the newest failure, of groups that have it. Three statements."""
    newest = _newest_failures([group.pk for group in groups if group.failure_key and group.number])
    deliveries = Delivery.objects.select_related("covered_by__findings__subject").in_bulk(newest.values())
    attempts = _deciding_attempts(deliveries.values())
    found = {group: attempts.get(delivery) for group, delivery in newest.items()}
    sentences = {group: _sentence(attempt) for group, attempt in found.items() if attempt is not None}
    return {group: sentence for group, sentence in sentences.items() if sentence}


def sentence_source(group: FailureGroup) -> str:
    """Return who found what is wrong: empty for the hub itself."""
    return "" if is_found_by_hub(group.code) else group.connection.name


def _newest_failures(keys: Sequence[int]) -> dict[int, int]:
    """Return the newest failed delivery of each group, by one look into an index for each."""
    groups = FailureGroup.objects.filter(pk__in=keys).annotate(
        of_identity=_newest_of("identity"), of_target=_newest_of("target")
    )
    rows = groups.values_list("pk", "code", "of_identity", "of_target")
    found = {pk: identity if is_about_identity(code) else target for pk, code, identity, target in rows}
    return {pk: delivery for pk, delivery in found.items() if delivery is not None}


def _newest_of(side: str) -> Subquery:
    dead: QuerySet[Delivery] = Delivery.objects.filter(
        **{side: OuterRef("connection")},
        state=State.DEAD,
        code=OuterRef("code"),
        failure_key=OuterRef("failure_key"),
    )
    return Subquery(dead.order_by("-settled_at", "-pk").values("pk")[:1])


def _deciding_attempts(deliveries: Iterable[Delivery]) -> Mapping[int, Attempt]:
    """Return by delivery its newest attempt, or the attempt of another delivery that covered it."""
    rows = list(deliveries)
    own = Attempt.objects.filter(delivery__in=rows).select_related("findings__subject").order_by("number")
    attempts = {attempt.delivery_id: attempt for attempt in own}
    covered = {
        row.pk: row.covered_by for row in rows if row.covered_by is not None and row.pk not in attempts
    }
    return attempts | covered


def _sentence(attempt: Attempt) -> str:
    messages = answer_messages(attempt, is_masked=True)[:_MAX_MESSAGES]
    return " · ".join(str(_without_values(message)) for message in messages)


def _without_values(message: AnswerMessage) -> AnswerMessage:
    def fold(text: str) -> str:
        return fold_values(text.replace(MASK, PLACEHOLDER), names=message.names)

    return replace(message, text=fold(message.text), notes=tuple(map(fold, message.notes)))
