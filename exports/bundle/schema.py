"""What stands in the tables of an export, column by column. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TIME = "time, RFC 3339 in UTC, six decimals"


@dataclass(frozen=True, slots=True)
class Column:
    """`type` is what a JSON value of it is; `mutable`: it was read at the moment that export.json has for the row."""

    name: str
    type: str
    meaning: str
    nullable: bool = False
    mutable: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A file `<name>.jsonl`, one object a line."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.columns)


EVENTS = Table(
    "events",
    "One webhook that was taken: what changed at a source. In the order in which they were stored.",
    (
        Column("reference", "text", "names the event; its audit entries are of the stream event:<reference>"),
        Column("uuid", "text", "the same in another spelling, which events.csv has"),
        Column("source", "text", "short name of who sent it"),
        Column("event_id", "text", "the source's own id of the event", nullable=True),
        Column("entity_type", "text", "kind of what changed"),
        Column("entity_id", "text", "id at the source of what changed"),
        Column("event_type", "text", "CREATE, UPDATE, DELETE, or the source's own word"),
        Column("occurred", _TIME, "when it changed, as the source says", nullable=True),
        Column("received", _TIME, "when the webhook arrived"),
        Column("signed", "true or false", "whether the webhook's signature was verified"),
        Column("state", "text", "the worst state of its deliveries", mutable=True),
        Column("code", "text", "why, as a word of the hub's catalogue", mutable=True),
        Column("body_sha256", "text", "SHA-256 of the webhook's body, which is not in this export"),
    ),
)
RECEIPTS = Table(
    "receipts",
    "One HTTP request that brought an event, and what was answered.",
    (
        Column("event", "text", "reference of the event"),
        Column("receipt", "text", "its reference, as in audit entries (webhook.received, webhook.answered)"),
        Column("verified_by", "text", "how it was verified, and the number of the secret"),
        Column("size", "number", "bytes of its body"),
        Column("received", _TIME, "when it arrived"),
        Column("answered", _TIME, "when it was answered", nullable=True, mutable=True),
        Column("status", "number", "the HTTP status that was told", nullable=True, mutable=True),
        Column("code", "text", "the outcome that was told", mutable=True),
        Column("final", "true or false", "whether that outcome will not change", mutable=True),
        Column("repeat", "true or false", "whether the event was known already"),
    ),
)
DELIVERIES = Table(
    "deliveries",
    "One event on one route to a commercial system.",
    (
        Column("event", "text", "reference of the event"),
        Column("delivery", "number", "names the delivery"),
        Column("route", "number", "its route; its audit entries are of the stream delivery:<event>:<route>"),
        Column("identity", "text", "short name of the connection that is asked for the entity"),
        Column("commercial", "text", "short name of the connection that is changed"),
        Column("relayed", "true or false", "whether the webhook's own content is passed on"),
        Column("state", "text", "where it stands", mutable=True),
        Column("code", "text", "why, as a word of the hub's catalogue", mutable=True),
        Column("settled", _TIME, "when it came to that", nullable=True, mutable=True),
    ),
)
ATTEMPTS = Table(
    "attempts",
    "One try of a delivery.",
    (
        Column("delivery", "number", "the delivery"),
        Column("number", "number", "1, 2, 3 … of the delivery"),
        Column("attempt", "text", "its key, as in audit entries"),
        Column("cause", "text", "webhook, retry or replay"),
        Column("started", _TIME, "when it began"),
        Column("ended", _TIME, "when it ended", nullable=True, mutable=True),
        Column("outcome", "text", "how it ended", mutable=True),
        Column("code", "text", "why, as a word of the hub's catalogue", mutable=True),
        Column("retryable", "true or false", "whether trying again can help", mutable=True),
        Column("action", "text", "what was done: created, updated, deleted or none", mutable=True),
        Column("record_id", "text", "id of the record in the commercial system", mutable=True),
    ),
)
CALLS = Table(
    "calls",
    "One HTTP request that an attempt sent to another system; as long as KEEP_CALLS_DAYS keeps them.",
    (
        Column("attempt", "text", "key of the attempt"),
        Column("call", "number", "names the call; of an attempt, in the order in which they were made"),
        Column("connection", "text", "short name of the connection that was asked"),
        Column("purpose", "text", "fetch, get, search, create, update, delete or token"),
        Column("write", "true or false", "whether it was to change something there"),
        Column("method", "text", "the HTTP method"),
        Column("path", "text", "the template of its path, without values"),
        Column("started", _TIME, "when it began"),
        Column("milliseconds", "number", "until it was answered", nullable=True, mutable=True),
        Column("status", "number", "the HTTP status that came back", nullable=True, mutable=True),
        Column("error", "text", "why, where there was no good answer: a word of the catalogue", mutable=True),
        Column("sent_bytes", "number", "bytes of what was sent"),
        Column("received_bytes", "number", "bytes of what came back", mutable=True),
    ),
)
TABLES = (EVENTS, RECEIPTS, DELIVERIES, ATTEMPTS, CALLS)


def dictionary() -> Mapping[str, Any]:
    """What `columns.json` says."""
    return {
        f"{table.name}.jsonl": {
            "meaning": table.meaning,
            "columns": [
                {
                    "name": each.name,
                    "type": each.type,
                    "meaning": each.meaning,
                    "may_be_null": each.nullable,
                    "as_of": "the time that export.json has for the row" if each.mutable else "never changes",
                }
                for each in table.columns
            ],
        }
        for table in TABLES
    }
