"""What travels together to PostgreSQL (`database.write_batch`), taken apart again."""

import re

_BEGINS = re.compile(r"(?:WITH|,) (?:given|w\d+) AS \(")
_ENDS = re.compile(r" RETURNING \S+(?: AS k)?\)|\)$")


def parts_of(statement: str) -> list[str]:
    """Its writes, each as it would be alone; the statement itself where it is one."""
    return [_ENDS.split(each, maxsplit=1)[0] for each in _BEGINS.split(statement)[1:]] or [statement]
