"""Plan a subject anew with reads only, and decide whether the record that was found by a value is certain."""

import hashlib
from dataclasses import dataclass

from sync.comparisons.live_plan import FoundBy, PlannedSubject
from sync.comparisons.sides.digests import DIGEST_SIZE, canonical_form
from sync.models import MatchOutcome
from sync.planning.mapping import MatchValue
from sync.planning.record_matching import MatchEvidence

_OUTCOMES = {
    MatchEvidence.VERIFIED_UNIQUE: MatchOutcome.VERIFIED_UNIQUE,
    MatchEvidence.AMBIGUOUS: MatchOutcome.AMBIGUOUS,
    MatchEvidence.UNVERIFIED: MatchOutcome.UNVERIFIED,
}
_NO_VALUE = b""


@dataclass(frozen=True, slots=True)
class PlannedMatch:
    """What planning found. For `verified-unique`: the record, and the digest of the verified value that found it."""

    outcome: MatchOutcome
    record_id: str = ""
    value: bytes = _NO_VALUE


def judge_match(planned: PlannedSubject, key: bytes) -> PlannedMatch:
    """Decide whether the record of a planned subject is certain, whatever the matching policy of the route. `key`: of
    the digest. That no other entity has the value is for the caller to find out.
    """
    if planned.is_linked or planned.found_by in (FoundBy.LINK, FoundBy.EXTERNAL_ID):
        return PlannedMatch(MatchOutcome.HAS_RECORD)
    if planned.match is None:
        is_failure = bool(planned.code) and planned.change is None
        return PlannedMatch(MatchOutcome.UNREADABLE if is_failure else MatchOutcome.CHANGED)
    outcome = _OUTCOMES[planned.match.evidence]
    if outcome != MatchOutcome.VERIFIED_UNIQUE:
        return PlannedMatch(outcome)
    return PlannedMatch(outcome, planned.match.records[0].id, digest_value(planned.match.verified[0], key))


def digest_value(value: MatchValue, key: bytes) -> bytes:
    """Return the digest by which two entities are found to have one verified value, in any case of its letters."""
    text = canonical_form([value.field, str(value.value).casefold()])
    return hashlib.blake2b(text, digest_size=DIGEST_SIZE, key=key).digest()
