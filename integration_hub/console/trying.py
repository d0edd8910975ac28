"""Trying a declaration out on a sample: the same code that deliveries use, and nothing is saved."""

import json
from dataclasses import dataclass
from typing import Any

from sync.mapping import MappingInvalid, Unmappable, parse_mapping

SAMPLE_ENTITY = '{\n  "id": "IDNUMBER1234",\n  "emails": [{"address": "anna@example.com"}]\n}'
SAMPLE_WEBHOOK = '{\n  "id": "IDNUMBER1234",\n  "entityType": "USER",\n  "eventType": "UPDATE"\n}'


@dataclass(frozen=True, slots=True)
class Trial:
    """`record` is the JSON that a record would get; `problem` the sentence where there is none."""

    record: str = ""
    problem: str = ""


def try_out(declaration: str, entity: str, webhook: str) -> Trial:
    """What this declaration makes of this entity and this webhook, all three as JSON texts."""
    try:
        parsed = parse_mapping(_read("The mapping", declaration))
        made = parsed.apply(_object("The entity", entity), _object("The webhook", webhook))
    except MappingInvalid as error:
        return Trial(problem=str(error))
    except Unmappable as error:
        return Trial(problem=f"{error.field}: {error.reason}.")
    return Trial(record=json.dumps(made, indent=2, ensure_ascii=False))


def _object(what: str, text: str) -> dict[str, Any]:
    value = _read(what, text)
    if not isinstance(value, dict):
        raise MappingInvalid(f"{what}: an object is expected.")
    return value


def _read(what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise MappingInvalid(f"{what} is not JSON: {error}.") from error
    except RecursionError as error:
        raise MappingInvalid(f"{what} is nested too deeply.") from error
