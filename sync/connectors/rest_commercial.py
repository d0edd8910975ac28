"""A commercial system that answers REST requests in JSON, described by its settings."""

from collections.abc import Mapping
from typing import Any

from sync.connectors.client.client import GONE, Asked, HttpClient
from sync.connectors.contracts.types import ABSENT, REFUSALS_OF_ABSENT, Record, Sampled, users_first
from sync.connectors.http.messages import Answer
from sync.connectors.http.urls import UnsafeValueError, check_id, fill, quoted
from sync.connectors.settings.commercial import Collection, Search, Settings
from sync.connectors.values.json_answers import UnreadableError, as_id, as_object, as_text

MOST_HITS = 10


class RestCommercial:
    """`contracts.types.CommercialConnector` over HTTP."""

    def __init__(self, client: HttpClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    def get(self, entity_type: str, record_id: str) -> Record | None:
        """The record as it is now, None where it is gone. An answer about another record is Garbled."""
        known = self._collection(entity_type)
        asked = Asked("get", "GET", known.item, values={"id": record_id}, tolerated=GONE)
        answer = self._client.ask(asked)
        if answer.status in GONE:
            return None
        return self._same(asked, record_id, self._record(asked, known, answer))

    def search(self, entity_type: str, field: str, value: str) -> tuple[Record, ...]:
        """At most ten records that really have the value: some systems ignore a filter they do not know."""
        known = self._collection(entity_type)
        if known.search is None or field not in known.search.fields:
            raise self._client.unsafe("this field is not configured to be searched by")
        asked = Asked(
            "search",
            "GET",
            known.search.path,
            query=_search_query(known.search, field, value),
            tolerated=GONE,
        )
        answer = self._client.ask(asked)
        if answer.status in GONE:
            raise self._client.garbled(asked, f"a search was answered {answer.status}")
        hits = self._hits(asked, known, known.search, answer)
        return tuple(hit for hit in hits if self._has(hit, field, value))[:MOST_HITS]

    def create(self, entity_type: str, fields: Mapping[str, Any], key: str) -> Record:
        """A new record. An answer without its id is Garbled, one whose id can never stand in an address Unsafe: the
        record may stand all the same."""
        known = self._collection(entity_type)
        body = _wrapped(known, fields)
        asked = Asked("create", known.create_method, known.collection, body=body, key=key, write=True)
        record = self._record(asked, known, self._client.ask(asked))
        try:
            check_id(record.id)
        except UnsafeValueError as error:
            raise self._client.unsafe(f"{asked.label}: {error}", maybe_applied=True) from None
        return record

    def update(
        self,
        entity_type: str,
        record_id: str,
        fields: Mapping[str, Any],
        key: str,
        *,
        current: Mapping[str, Any] | None,
    ) -> Record:
        """The record after the write. PATCH and POST send `fields` alone. PUT replaces the record, so
        it sends `current` (read now where it is None) with `fields` over it."""
        known = self._collection(entity_type)
        sent = (
            fields
            if known.update_method != "PUT"
            else self._replacement(entity_type, record_id, fields, current)
        )
        asked = Asked(
            "update",
            known.update_method,
            known.item,
            values={"id": record_id},
            body=_wrapped(known, sent),
            key=key,
            write=True,
        )
        answer = self._client.ask(asked)
        return self._updated(asked, known, Record(record_id, sent), answer)

    def delete(self, entity_type: str, record_id: str, key: str) -> None:
        """The record is gone afterwards."""
        known = self._collection(entity_type)
        self._client.ask(
            Asked(
                "delete",
                known.delete_method,
                known.item,
                values={"id": record_id},
                key=key,
                write=True,
                tolerated=GONE,
            )
        )

    def prove(self) -> float | None:
        """See `contracts.types.Testable`."""
        return self._client.prove()

    def sample(self) -> Sampled:
        """A search that finds nothing; where none is configured, a record that is not there."""
        entities = users_first(self._settings.entities)
        for _, known in entities:
            if known.search is not None and known.search.fields:
                return self._sample_search(known, known.search)
        known = entities[0][1]
        asked = Asked("get", "GET", known.item, {"id": ABSENT}, tolerated=REFUSALS_OF_ABSENT)
        self._client.ask(asked)
        return Sampled(asked.label)

    def _sample_search(self, known: Collection, search: Search) -> Sampled:
        field = "external_id" if "external_id" in search.fields else min(search.fields)
        query = _search_query(search, field, ABSENT)
        asked = Asked("search", "GET", search.path, query=query, tolerated=frozenset({400, 422}))
        answer = self._client.ask(asked)
        if answer.status in asked.tolerated:
            return Sampled(asked.label)
        return Sampled(asked.label, len(self._hits(asked, known, search, answer)))

    def _collection(self, entity_type: str) -> Collection:
        known = self._settings.entities.get(entity_type.upper())
        if known is None:
            raise self._client.unsafe("no path is configured for this entity type")
        return known

    def _replacement(
        self, entity_type: str, record_id: str, fields: Mapping[str, Any], current: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """All that a replacing update sends. A record that is gone is left to the system to refuse."""
        if current is None:
            record = self.get(entity_type, record_id)
            current = record.fields if record else {}
        omit = self._collection(entity_type).omit
        return {name: value for name, value in current.items() if name not in omit} | dict(fields)

    def _updated(self, asked: Asked, known: Collection, sent: Record, answer: Answer) -> Record:
        """What the answer tells of the record, or what was sent where it tells nothing."""
        if not answer.body.strip():
            return sent
        fields = known.record.find(self._client.read(asked, answer))
        if not isinstance(fields, dict) or known.id.find(fields) is None:
            return sent
        return self._same(asked, sent.id, self._as_record(asked, known, fields))

    def _record(self, asked: Asked, known: Collection, answer: Answer) -> Record:
        return self._as_record(asked, known, known.record.find(self._client.read(asked, answer)))

    def _as_record(self, asked: Asked, known: Collection, value: Any) -> Record:
        try:
            fields = as_object(value)
            return Record(as_id(known.id.find(fields)), fields)
        except UnreadableError as unreadable:
            raise self._client.garbled(asked, str(unreadable)) from None

    def _same(self, asked: Asked, record_id: str, record: Record) -> Record:
        if record.id != record_id:
            raise self._client.garbled(asked, "the answer is about another record")
        return record

    def _hits(self, asked: Asked, known: Collection, search: Search, answer: Answer) -> list[Record]:
        found = search.results.find(self._client.read_any(asked, answer))
        if not isinstance(found, list):
            raise self._client.garbled(asked, "a list was expected")
        return [self._as_record(asked, known, one) for one in found]

    def _has(self, record: Record, field: str, value: str) -> bool:
        own = as_text(record.fields.get(field))
        if own is None:
            return False
        return own.casefold() == value.casefold() if field in self._settings.caseless else own == value


def _search_query(search: Search, field: str, value: str) -> dict[str, str]:
    values = {"field": field, "value": value, "quoted": quoted(value)}
    return {fill(name, values): fill(text, values) for name, text in search.query.items()}


def _wrapped(known: Collection, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return fields if known.wrap is None else {known.wrap: fields}
