"""Fields of a record that the operations of a target send, and those that they read back, as the settings say. Pure."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from config_schema.expressions.jmespath_paths import fields_built, fields_read
from connectors.http.placeholders import find_placeholders
from connectors.records.list_items import write_items
from connectors.records.planned_writes import plan_update
from connectors.settings.operations.write_operations import UpdateOperation, WriteOperation
from connectors.settings.target import RecordSettings
from connectors.values.json_responses import ExpressionOverBudget, ExpressionUnfit, JmesPathExpression

# Values of each kind: an expression may send only what is a list, or a number.
_SAMPLES: tuple[Any, ...] = ("sample", ["sample"], {"sample": "sample"}, True, 7, [{"sample": "sample"}])


def list_unsent(
    settings: RecordSettings, operations: Collection[WriteOperation], names: Collection[str]
) -> list[str]:
    """Return the fields that none of these operations sends, in their order. A field counts as sent if its value may
    change a request: also if that depends on the record.
    """
    return [name for name in names if not any(_sends(settings, one, name, names) for one in operations)]


def list_uncleared(
    settings: RecordSettings, operations: Collection[WriteOperation], names: Collection[str]
) -> list[str]:
    """Return the fields that some of these operations sends, but none if they are cleared, in their order. A field
    counts as cleared if that may depend on the record.
    """
    sent = [name for name in names if name not in list_unsent(settings, operations, names)]
    return [name for name in sent if not any(_clears(settings, one, name, names) for one in operations)]


def list_unread(settings: RecordSettings, names: Collection[str]) -> list[str]:
    """Return the fields that are not in the records which the target returns, in their order; none if the settings do
    not say what is in a record.
    """
    built = fields_built(settings.operations.get.result.text)
    return [] if built is None else [name for name in names if _place_of(settings, name) not in built]


def sends_key(operation: WriteOperation) -> bool:
    """Return True if a request holds the id of the entity."""
    return operation.uses("key") or any("key" in find_placeholders(text) for text in _texts(operation))


def _texts(operation: WriteOperation) -> Iterator[str]:
    yield from (operation.path, *operation.headers.values())
    if operation.body is not None:
        yield from operation.body.texts()


def _place_of(settings: RecordSettings, name: str) -> str:
    """Return the name under which the record has the value of a field: that of the list if it is in an item."""
    item = settings.list_items.get(name)
    return name if item is None else item.path[0]


def _sends(settings: RecordSettings, operation: WriteOperation, name: str, names: Collection[str]) -> bool:
    if operation.body is None:
        return operation.encoding != "none" or _is_read(settings, operation, name) is not False
    is_read = _is_read(settings, operation, name)
    return _changes_request(settings, operation, name, names) if is_read is None else is_read


def _is_read(settings: RecordSettings, operation: WriteOperation, name: str) -> bool | None:
    """Return True if an expression names the field, False if none can read it; None if one reads all fields."""
    place, reads_all = _place_of(settings, name), False
    for expression in operation.request_expressions():
        for root, field in (("changed", name), ("fields", name), ("sent", place), ("lists", place)):
            read = fields_read(expression.text, root)
            if read is not None and field in read:
                return True
            reads_all = reads_all or read is None
    return None if reads_all or operation.uses("entity") else False


def _changes_request(
    settings: RecordSettings, operation: WriteOperation, name: str, names: Collection[str]
) -> bool:
    """Return True if a request differs with some value of the field from the one without it, or if it is not known."""
    if operation.uses("entity"):
        return True
    others = dict.fromkeys((other for other in names if other != name), _SAMPLES[0])
    try:
        without = _render(settings, operation, others)
        return any(_render(settings, operation, {**others, name: sample}) != without for sample in _SAMPLES)
    except (ExpressionUnfit, ExpressionOverBudget):
        return True


def _clears(settings: RecordSettings, operation: WriteOperation, name: str, names: Collection[str]) -> bool:
    """Return False if a request says nothing of a field that is cleared: it equals the one without the field, and lacks
    what the one with a value has. Return True if that is not known.
    """
    if operation.body is None or any(operation.uses(root) for root in ("entity", "current", "raw")):
        return True
    others = dict.fromkeys((other for other in names if other != name), _SAMPLES[0])
    try:
        cleared = _render(settings, operation, {**others, name: None})
        if cleared != _render(settings, operation, others):
            return True
        filled = [_render(settings, operation, {**others, name: sample}) for sample in _SAMPLES]
    except (ExpressionUnfit, ExpressionOverBudget):
        return True
    return not any(_lacks_part(cleared[0], body) for body, _values in filled)


def _lacks_part(body: Any, other: Any, *, is_whole: bool = True) -> bool:
    """Return True if a body lacks a name that an object of the other one has in the same place, or is null."""
    if body is None and isinstance(other, Mapping) and is_whole:
        return True
    if not isinstance(body, Mapping) or not isinstance(other, Mapping):
        return False
    return any(
        name not in body or _lacks_part(body[name], inner, is_whole=False) for name, inner in other.items()
    )


def _render(settings: RecordSettings, operation: WriteOperation, fields: Mapping[str, Any]) -> Any:
    """Return what an operation sends of these fields: its body, and the values of its placeholders."""
    written = write_items(settings.list_items, fields, {})
    sent: Any = written.sent
    if isinstance(operation, UpdateOperation):
        sent = plan_update(operation, written, {}, {}).sent
    context = {
        "id": "1",
        "key": "1",
        "version": "1",
        "current": {},
        "raw": {},
        "entity": {},
        "fields": fields,
        "changed": fields,
        "sent": sent,
        "lists": written.lists,
    }

    def evaluate(expression: JmesPathExpression) -> Any:
        return expression.evaluate_strictly(context)

    body = None if operation.body is None else operation.body.render(evaluate, str)
    return body, [evaluate(expression) for expression in operation.values.values()]
