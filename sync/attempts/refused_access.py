"""Classify a refusal: of the credentials, of one entity or record, or of the data."""

from connectors.contracts.errors import (
    ConnectorError,
    CredentialsRefused,
    ItemForbidden,
    RequestRejected,
    ValueMissing,
)
from connectors.contracts.types import Access
from sync.attempts.call_log import without_stored_content
from sync.attempts.plan import AttemptFindings, Connectors
from sync.deliveries.claims import Claim
from sync.deliveries.record_links import known_entity_ids, known_record_ids
from sync.planning.change import ChangeAction

_FORBIDDEN = 403
# Statuses with which some systems answer to an unknown token.
_HIDDEN_REFUSALS = frozenset({400, 404})
# A list that has the item shows that the credentials are accepted.
_ACCEPTED = frozenset({Access.GRANTED, Access.CONTRADICTORY})


def classify_refusal(
    error: ConnectorError, claim: Claim, connectors: Connectors, findings: AttemptFindings
) -> ConnectorError:
    """Return a more exact error for a refusal, found by reading other entities or records. Returns other errors as they
    are.

    - ItemForbidden: 403 for one item, while other items can be read.
    - CredentialsRefused: 400 or 404 of the target, while nothing can be read; any rejection of a creation, while there
      are linked records and none of them can be read. A system may ignore a token that it does not know.
    - ValueMissing: a rejection of fields that were sent without a value.

    Sends at most seven reads, and none for other errors. Raises ConnectorError if a read fails.
    """
    if isinstance(error, CredentialsRefused) and error.status == _FORBIDDEN:
        access = _check_access(error, claim, connectors, findings)
        return _replace_error(error, ItemForbidden) if access in _ACCEPTED else error
    if not isinstance(error, RequestRejected):
        return error
    if error.side == "target" and _is_refused_access(error, claim, connectors, findings):
        return _replace_error(error, CredentialsRefused)
    if _lacks_values(error, findings):
        return ValueMissing(
            str(error),
            side=error.side,
            sentence=error.sentence,
            fields=error.fields,
            status=error.status,
            language=error.language,
            says=error.says,
        )
    return error


def _is_refused_access(
    error: ConnectorError, claim: Claim, connectors: Connectors, findings: AttemptFindings
) -> bool:
    """True if a rejection is about the credentials, as far as reads of other records show."""
    if _is_creation(findings) and set(known_record_ids(claim.delivery)) - {_own_record_id(claim, findings)}:
        return _check_access(error, claim, connectors, findings) not in _ACCEPTED
    if error.status not in _HIDDEN_REFUSALS or _lacks_values(error, findings):
        return False
    return _check_access(error, claim, connectors, findings) == Access.REFUSED


def _is_creation(findings: AttemptFindings) -> bool:
    return findings.change is not None and findings.change.action is ChangeAction.CREATE


def _lacks_values(error: ConnectorError, findings: AttemptFindings) -> bool:
    """True if the target rejected only fields to which the mapping gave no value."""
    change = findings.change
    if change is None or not error.fields or error.side != "target":
        return False
    sent = change.values_to_send
    # A record that exists may have values that were not sent.
    names = [field.field for field in error.fields]
    all_values_known = change.action is ChangeAction.CREATE or all(name in sent for name in names)
    return all_values_known and all(sent.get(name) in (None, "") for name in names)


def _check_access(
    error: ConnectorError, claim: Claim, connectors: Connectors, findings: AttemptFindings
) -> Access:
    delivery = claim.delivery
    if error.side == "identity":
        known = known_entity_ids(delivery)
        with without_stored_content():
            return connectors.identity.check_access(claim.route.identity_type, delivery.entity_id, known)
    record_id, known = _own_record_id(claim, findings), known_record_ids(delivery)
    with without_stored_content():
        return connectors.target.check_access(claim.route.target_type, record_id, known)


def _own_record_id(claim: Claim, findings: AttemptFindings) -> str:
    linked = claim.link.record_id if claim.link else None
    return findings.record_id or linked or ""


def _replace_error(error: ConnectorError, error_class: type[ConnectorError]) -> ConnectorError:
    # Without the sentence: what the system says of its credentials is not for the person who saved.
    return error_class(str(error), side=error.side, maybe_applied=error.maybe_applied, status=error.status)
