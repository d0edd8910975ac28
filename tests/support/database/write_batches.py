"""The one statement of a write batch on PostgreSQL (`database.write_batch`), taken apart again."""

import re

_BEGINS = re.compile(r"(?:WITH|,) (?:g|w|k|u)\d+ AS \(")
_ENDS = re.compile(r" RETURNING \S+(?: AS k)?\)$|\)$")
_RETURNED = re.compile(r"\) SELECT (?:1|CAST\().*$", re.DOTALL)
_KEYS = "SELECT array_agg(k ORDER BY k)"


def parts_of(statement: str) -> list[str]:
    """Its writes and guards, each as it would be alone; the statement itself where it is one."""
    if _BEGINS.match(statement) is None:
        return [statement]
    parts = _BEGINS.split(_RETURNED.sub(")", statement))[1:]
    return [_ENDS.sub("", part) for part in parts if not part.startswith(_KEYS)]
