"""The addresses of pages that other pages link to."""

from datetime import datetime
from urllib.parse import urlencode

from django.urls import reverse

from audit.format.signed_records import format_time
from sync.models import Connection
from webhooks.models import State


def entity_url(entity_type: str, entity_id: str, **extra_params: str) -> str:
    """The address of the page of an entity."""
    return f"{reverse('admin:webhooks_entity')}?{urlencode({'type': entity_type, 'id': entity_id, **extra_params})}"


def entity_search_term(entity_type: str, entity_id: str) -> str:
    """What the search takes for everything about an entity."""
    return f"entity:{entity_type}:{entity_id}"


def audit_log_url(term: str) -> str:
    """The address of the audit log, searched for a stream or a term of `entity_search_term`."""
    return f"{reverse('admin:audit_entry_changelist')}?{urlencode({'q': term})}"


def failed_events_query(code: str, connection: Connection, since: datetime | None = None) -> str:
    """The filter of what failed for that reason there, in the words of `sync.search.event_filter`."""
    words = {"state": State.DEAD.value, "code": code, "commercial": connection.slug}
    return urlencode(words | ({"received_from": format_time(since)} if since else {}))


def replay_form_url(query: str) -> str:
    """The page that replays all that a filter means."""
    return f"{reverse('admin:webhooks_event_changelist')}replay/new/?{query}"
