"""Declare the tables of an export, column by column. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.export.line_formats import REQUESTER_COLUMN

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


_REQUESTER = ColumnSchema(REQUESTER_COLUMN, "text", "who exported it: person:<id>, or system for a command")


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A file `<name>.jsonl` with one JSON object a line."""

    name: str
    meaning: str
    columns: tuple[ColumnSchema, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def file_columns(self) -> tuple[str, ...]:
        """Return the columns of the file: those of the table, and the requester of the export."""
        return (*self.column_names, _REQUESTER.name)


EVENTS = TableSchema(
    "events",
    "One accepted webhook: a change at a source; or an event that a comparison or a catch-up made. In the order in "
    "which they were stored.",
    (
        ColumnSchema(
            "reference", "text", "identifies the event; its audit entries are in the stream event:<reference>"
        ),
        ColumnSchema("uuid", "text", "the same identifier as a UUID, used in events.csv"),
        ColumnSchema("source", "text", "slug of the source that sent it, or whose route it was made for"),
        ColumnSchema("source_id", "number", "the key of that source, which never changes"),
        ColumnSchema(
            "event_id",
            "text",
            "the event id given by the source; `sha256:` and a digest of the signed bytes if it gives none and a "
            "route uses the webhook's own data",
            nullable=True,
        ),
        ColumnSchema("entity_type", "text", "type of the changed entity"),
        ColumnSchema("entity_id", "text", "id of the changed entity"),
        ColumnSchema("event_type", "text", "CREATE, UPDATE, DELETE, or another event name of the source"),
        ColumnSchema("occurred", _TIME_TYPE, "when it changed, according to the source", nullable=True),
        ColumnSchema("occurred_text", "text", "the same time as it was sent; empty if none was"),
        ColumnSchema("received", _TIME_TYPE, "when the webhook was received, or the event was made"),
        ColumnSchema("signed", "true or false", "whether the webhook's signature was verified"),
        ColumnSchema(
            "origin",
            "text",
            "webhook; comparison or catch-up if that made the event, which then has no receipt",
        ),
        ColumnSchema(
            "requested_by",
            "number",
            "the person's request that made it; null for a webhook, and if no person did",
            nullable=True,
        ),
        ColumnSchema("state", "text", "the status of its least successful delivery", mutable=True),
        ColumnSchema("code", "text", "the reason, as a code", mutable=True),
        ColumnSchema(
            "body_sha256",
            "text",
            "SHA-256 of the webhook's body, which is not in this export; of no bytes for an event of another origin",
        ),
        ColumnSchema(
            "subject_key",
            "text",
            "key of the digests `subject` and `record` in audit entries; null once the entity was erased",
            nullable=True,
        ),
        ColumnSchema("entries", "number", "how many audit entries its stream had", mutable=True),
    ),
)
RECEIPTS = TableSchema(
    "receipts",
    "One webhook request and its response.",
    (
        ColumnSchema("event", "text", "reference of the event"),
        ColumnSchema(
            "receipt", "text", "its reference, as in audit entries (webhook.received, webhook.answered)"
        ),
        ColumnSchema("verified_by", "text", "how it was verified, and the number of the secret"),
        ColumnSchema("size", "number", "size of its body in bytes"),
        ColumnSchema("received", _TIME_TYPE, "when it was received"),
        ColumnSchema("answered", _TIME_TYPE, "when the response was sent", nullable=True, mutable=True),
        ColumnSchema("status", "number", "the HTTP status of the response", nullable=True, mutable=True),
        ColumnSchema("code", "text", "the outcome in the response", mutable=True),
        ColumnSchema("final", "true or false", "whether that outcome is final", mutable=True),
        ColumnSchema("repeat", "true or false", "whether the request was a duplicate"),
    ),
)
DELIVERIES = TableSchema(
    "deliveries",
    "One event on one route to a target system.",
    (
        ColumnSchema("event", "text", "reference of the event"),
        ColumnSchema("delivery", "number", "identifies the delivery"),
        ColumnSchema(
            "route", "number", "its route; its audit entries are in the stream delivery:<event>:<route>"
        ),
        ColumnSchema("identity", "text", "slug of the connection from which the entity is fetched"),
        ColumnSchema("identity_id", "number", "the key of that connection, which never changes"),
        ColumnSchema("target", "text", "slug of the connection that is changed"),
        ColumnSchema("target_id", "number", "the key of that connection, which never changes"),
        ColumnSchema("relayed", "true or false", "whether the webhook's own data is sent"),
        ColumnSchema("state", "text", "its status", mutable=True),
        ColumnSchema("code", "text", "the reason, as a code", mutable=True),
        ColumnSchema("settled", _TIME_TYPE, "when it reached that status", nullable=True, mutable=True),
        ColumnSchema("entries", "number", "how many audit entries its stream had", mutable=True),
    ),
)
ATTEMPTS = TableSchema(
    "attempts",
    "One attempt of a delivery.",
    (
        ColumnSchema("delivery", "number", "the delivery"),
        ColumnSchema("number", "number", "1, 2, 3 … within the delivery"),
        ColumnSchema("attempt", "text", "identifies the attempt, also in audit entries"),
        ColumnSchema("cause", "text", "webhook, retry, replay, recheck, comparison or catch-up"),
        ColumnSchema("started", _TIME_TYPE, "when it started"),
        ColumnSchema("ended", _TIME_TYPE, "when it finished", nullable=True, mutable=True),
        ColumnSchema("outcome", "text", "its outcome", mutable=True),
        ColumnSchema("code", "text", "the reason, as a code", mutable=True),
        ColumnSchema("retryable", "true or false", "whether a retry can help", mutable=True),
        ColumnSchema(
            "action",
            "text",
            "what was done, or was to be done: created, updated, deleted or none",
            mutable=True,
        ),
        ColumnSchema("record_id", "text", "id of the record in the target system", mutable=True),
    ),
)
CALLS = TableSchema(
    "calls",
    "One HTTP request that an attempt sent to another system. Calls are deleted after KEEP_CALLS_DAYS.",
    (
        ColumnSchema("attempt", "text", "key of the attempt"),
        ColumnSchema(
            "call",
            "number",
            "identifies the call; calls of an attempt are in the order in which they were made",
        ),
        ColumnSchema("connection", "text", "slug of the connection that was called"),
        ColumnSchema("connection_id", "number", "the key of that connection, which never changes"),
        ColumnSchema("purpose", "text", "fetch, get, search, create, update, delete or token"),
        ColumnSchema("write", "true or false", "whether it was meant to change something"),
        ColumnSchema("method", "text", "the HTTP method"),
        ColumnSchema("path", "text", "the template of its path, without values"),
        ColumnSchema("started", _TIME_TYPE, "when it started"),
        ColumnSchema("milliseconds", "number", "time until the response", nullable=True, mutable=True),
        ColumnSchema("status", "number", "the HTTP status of the response", nullable=True, mutable=True),
        ColumnSchema("error", "text", "if there was no usable response: the reason, as a code", mutable=True),
        ColumnSchema("sent_bytes", "number", "size of the request in bytes"),
        ColumnSchema("received_bytes", "number", "size of the response in bytes", mutable=True),
        ColumnSchema(
            "response_part",
            "number",
            "place of its response among the stored responses of the attempt, from 0",
            nullable=True,
            mutable=True,
        ),
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
                    "as_of": "the time given for the row in export.json"
                    if column.mutable
                    else "never changes",
                }
                for column in (*table.columns, _REQUESTER)
            ],
        }
        for table in TABLES
    }
