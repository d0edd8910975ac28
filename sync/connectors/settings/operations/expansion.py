"""Operations as JSON: what shorthand settings stand for, in the form in which operations are written. Pure."""

from collections.abc import Mapping
from typing import Any

from sync.connectors.settings.answer_rules import rules_to_json
from sync.connectors.settings.operations.operation import Operation, Operations
from sync.connectors.settings.page_style import paging_to_json


def operations_to_json(operations: Operations) -> dict[str, Any]:
    """Return the operations of one entity type as they are written in settings, without what is the default."""
    document: dict[str, Any] = {}
    for name in ("get", "search", "create", "update", "delete", "list"):
        if name == "update":
            updates = [_operation_to_json(one, name) for one in operations.updates]
            document[name] = updates[0] if len(updates) == 1 else updates
        elif (operation := getattr(operations, name)) is not None:
            document[name] = _operation_to_json(operation, name)
    return document


def _operation_to_json(operation: Operation, name: str) -> dict[str, Any]:
    is_update = name == "update"
    optional: Mapping[str, Any] = {
        "query": {
            name: text if isinstance(text, str) else list(text) for name, text in operation.query.items()
        },
        "headers": dict(operation.headers),
        "encoding": operation.encoding if operation.encoding != "json" else None,
        "style": operation.style if is_update else None,
        "omit": sorted(operation.omitted_fields),
        "when": operation.when.text if operation.when else None,
        "values": {key: expression.text for key, expression in operation.values.items()},
        "body": operation.body.to_json() if operation.body else None,
        "result": operation.result.text if operation.result.text != "@" else None,
        "raw": operation.raw.text if operation.raw else None,
        "created_id": operation.created_id.text if operation.created_id else None,
        "fields": sorted(operation.fields),
        "field_values": {name: expression.text for name, expression in operation.field_values.items()},
        "answers": rules_to_json(operation.answers),
    }
    given = {key: value for key, value in optional.items() if value}
    paging = paging_to_json(operation.paging) if operation.paging else {}
    return {"method": operation.method, "path": operation.path, **given, **paging}
