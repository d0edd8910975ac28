"""Addresses of pages that other pages link to."""

from urllib.parse import urlencode

from django.urls import reverse

from config_schema.codes.codes import RETRYABLE_CODES
from sync.models import FailureGroup
from webhooks.models import State


def entity_url(entity_type: str, entity_id: str, **extra_params: str) -> str:
    """Return the address of an entity's page."""
    return f"{reverse('admin:webhooks_entity')}?{urlencode({'type': entity_type, 'id': entity_id, **extra_params})}"


def entity_search_term(entity_type: str, entity_id: str) -> str:
    """Return the search term for everything about an entity."""
    return f"entity:{entity_type}:{entity_id}"


def audit_log_url(term: str) -> str:
    """Return the address of the audit log, searched for a stream or an `entity_search_term`."""
    return f"{reverse('admin:audit_entry_changelist')}?{urlencode({'q': term})}"


def failed_group_query(group: FailureGroup) -> str:
    """Return the query string of the failed events of a group."""
    query = urlencode({"state": State.DEAD.value, "code": group.code, "target": group.connection.slug})
    # A code without any key has one group.
    return query if group.code in RETRYABLE_CODES else f"{query}&{urlencode({'failure_group': group.pk})}"


def replay_form_url(query: str) -> str:
    """Return the address of the page that replays all events of a filter."""
    return f"{reverse('admin:webhooks_event_changelist')}replay/new/?{query}"
