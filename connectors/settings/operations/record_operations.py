"""Settings of all operations on the records of one entity type. Pure."""

from collections.abc import Iterator

from config_schema.declared import Declared, nullable, setting
from config_schema.objects import OneOrMore
from connectors.settings.operations.operation import Operation
from connectors.settings.operations.read_operations import GetOperation, ListOperation, SearchOperation
from connectors.settings.operations.write_operations import (
    CreateOperation,
    DeleteOperation,
    UpdateOperation,
)

MAX_UPDATES = 3


class Operations(Declared):
    """The operations on the records of one entity type. One that the target does not offer is None; updates are sent
    one after the other.
    """

    get: GetOperation = setting(
        GetOperation.kind, "The request that reads one record.", example={"path": "/api/customers/{id}"}
    )
    search: SearchOperation | None = nullable(
        SearchOperation.kind,
        "The request that finds records by the value of a field.",
        example={
            "method": "POST",
            "path": "/api/customers/search",
            "body": {"filters": [{"field": {"expression": "field"}, "value": {"expression": "value"}}]},
            "result": "results",
            "fields": ["email"],
        },
    )
    create: CreateOperation = setting(
        CreateOperation.kind,
        "The request that creates a record. Its response must have the id of the record.",
        example={"path": "/api/customers"},
    )
    updates: tuple[UpdateOperation, ...] = setting(
        OneOrMore(UpdateOperation.kind, MAX_UPDATES),
        f"The request that updates a record, or a list of at most {MAX_UPDATES} that are sent in order.",
        name="update",
        example={"method": "PUT", "path": "/api/customers/{id}", "style": "replace", "omit": ["id"]},
    )
    delete: DeleteOperation | None = nullable(
        DeleteOperation.kind,
        "The request that deletes or anonymizes a record.",
        example={"method": "POST", "path": "/api/customers/{id}/anonymize", "encoding": "none"},
    )
    list: ListOperation | None = nullable(
        ListOperation.kind,
        "The request that lists records, or one page of them. Expressions in the body and in `values` may "
        "use `start`, `page`, `count` and `cursor` (null for the first page); paging values used there are "
        "not sent in the query.",
        example={"path": "/api/customers", "query": {"limit": "5"}, "result": "items"},
    )

    def items(self) -> Iterator[tuple[str, Operation]]:
        """Yield the name of each operation and the operation."""
        for name in ("get", "search", "create", "delete", "list"):
            operation = getattr(self, name)
            if operation is not None:
                yield name, operation
        for operation in self.updates:
            yield "update", operation


# The settings of a plain REST API.
EXAMPLE = {
    "get": {"path": "/api/customers/{id}"},
    "create": {"path": "/api/customers"},
    "update": {"path": "/api/customers/{id}"},
}
