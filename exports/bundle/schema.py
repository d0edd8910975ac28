"""Declare the tables of an export, column by column. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TIME_TYPE = "time, RFC 3339 in UTC, six decimals"


@dataclass(frozen=True, slots=True)
class ColumnSchema:
    """One column. `type` is the JSON type of its values; a `mutable` one holds the value at the row's time in
    export.json.
    """

    name: str
    type: str
    meaning: str
    nullable: bool = False
    mutable: bool = False


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A file `<name>.jsonl` with one JSON object a line."""

    name: str
    meaning: str
    columns: tuple[ColumnSchema, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


EVENTS = TableSchema(
    "events",
    "One webhook that was taken: what changed at a source. In the order in which they were stored.",
    (
        ColumnSchema(
            "reference", "text", "names the event; its audit entries are of the stream event:<reference>"
        ),
        ColumnSchema("uuid", "text", "the same in another spelling, which events.csv has"),
        ColumnSchema("source", "text", "short name of who sent it"),
        ColumnSchema("event_id", "text", "the source's own id of the event", nullable=True),
        ColumnSchema("entity_type", "text", "kind of what changed"),
        ColumnSchema("entity_id", "text", "id at the source of what changed"),
        ColumnSchema("event_type", "text", "CREATE, UPDATE, DELETE, or the source's own word"),
        ColumnSchema("occurred", _TIME_TYPE, "when it changed, as the source says", nullable=True),
        ColumnSchema("received", _TIME_TYPE, "when the webhook arrived"),
        ColumnSchema("signed", "true or false", "whether the webhook's signature was verified"),
        ColumnSchema("state", "text", "the worst state of its deliveries", mutable=True),
        ColumnSchema("code", "text", "why, as a word of the hub's catalogue", mutable=True),
        ColumnSchema("body_sha256", "text", "SHA-256 of the webhook's body, which is not in this export"),
    ),
)
RECEIPTS = TableSchema(
    "receipts",
    "One HTTP request that brought an event, and what was answered.",
    (
        ColumnSchema("event", "text", "reference of the event"),
        ColumnSchema(
            "receipt", "text", "its reference, as in audit entries (webhook.received, webhook.answered)"
        ),
        ColumnSchema("verified_by", "text", "how it was verified, and the number of the secret"),
        ColumnSchema("size", "number", "bytes of its body"),
        ColumnSchema("received", _TIME_TYPE, "when it arrived"),
        ColumnSchema("answered", _TIME_TYPE, "when it was answered", nullable=True, mutable=True),
        ColumnSchema("status", "number", "the HTTP status that was told", nullable=True, mutable=True),
        ColumnSchema("code", "text", "the outcome that was told", mutable=True),
        ColumnSchema("final", "true or false", "whether that outcome will not change", mutable=True),
        ColumnSchema("repeat", "true or false", "whether the event was known already"),
    ),
)
DELIVERIES = TableSchema(
    "deliveries",
    "One event on one route to a commercial system.",
    (
        ColumnSchema("event", "text", "reference of the event"),
        ColumnSchema("delivery", "number", "names the delivery"),
        ColumnSchema(
            "route", "number", "its route; its audit entries are of the stream delivery:<event>:<route>"
        ),
        ColumnSchema("identity", "text", "short name of the connection that is asked for the entity"),
        ColumnSchema("commercial", "text", "short name of the connection that is changed"),
        ColumnSchema("relayed", "true or false", "whether the webhook's own content is passed on"),
        ColumnSchema("state", "text", "where it stands", mutable=True),
        ColumnSchema("code", "text", "why, as a word of the hub's catalogue", mutable=True),
        ColumnSchema("settled", _TIME_TYPE, "when it came to that", nullable=True, mutable=True),
    ),
)
ATTEMPTS = TableSchema(
    "attempts",
    "One try of a delivery.",
    (
        ColumnSchema("delivery", "number", "the delivery"),
        ColumnSchema("number", "number", "1, 2, 3 … of the delivery"),
        ColumnSchema("attempt", "text", "its key, as in audit entries"),
        ColumnSchema("cause", "text", "webhook, retry or replay"),
        ColumnSchema("started", _TIME_TYPE, "when it began"),
        ColumnSchema("ended", _TIME_TYPE, "when it ended", nullable=True, mutable=True),
        ColumnSchema("outcome", "text", "how it ended", mutable=True),
        ColumnSchema("code", "text", "why, as a word of the hub's catalogue", mutable=True),
        ColumnSchema("retryable", "true or false", "whether trying again can help", mutable=True),
        ColumnSchema("action", "text", "what was done: created, updated, deleted or none", mutable=True),
        ColumnSchema("record_id", "text", "id of the record in the commercial system", mutable=True),
    ),
)
CALLS = TableSchema(
    "calls",
    "One HTTP request that an attempt sent to another system; as long as KEEP_CALLS_DAYS keeps them.",
    (
        ColumnSchema("attempt", "text", "key of the attempt"),
        ColumnSchema("call", "number", "names the call; of an attempt, in the order in which they were made"),
        ColumnSchema("connection", "text", "short name of the connection that was asked"),
        ColumnSchema("purpose", "text", "fetch, get, search, create, update, delete or token"),
        ColumnSchema("write", "true or false", "whether it was to change something there"),
        ColumnSchema("method", "text", "the HTTP method"),
        ColumnSchema("path", "text", "the template of its path, without values"),
        ColumnSchema("started", _TIME_TYPE, "when it began"),
        ColumnSchema("milliseconds", "number", "until it was answered", nullable=True, mutable=True),
        ColumnSchema("status", "number", "the HTTP status that came back", nullable=True, mutable=True),
        ColumnSchema(
            "error", "text", "why, where there was no good answer: a word of the catalogue", mutable=True
        ),
        ColumnSchema("sent_bytes", "number", "bytes of what was sent"),
        ColumnSchema("received_bytes", "number", "bytes of what came back", mutable=True),
    ),
)
TABLES = (EVENTS, RECEIPTS, DELIVERIES, ATTEMPTS, CALLS)


def describe_columns() -> Mapping[str, Any]:
    """Return the content of `columns.json`."""
    return {
        f"{table.name}.jsonl": {
            "meaning": table.meaning,
            "columns": [
                {
                    "name": column.name,
                    "type": column.type,
                    "meaning": column.meaning,
                    "may_be_null": column.nullable,
                    "as_of": "the time that export.json has for the row"
                    if column.mutable
                    else "never changes",
                }
                for column in table.columns
            ],
        }
        for table in TABLES
    }
