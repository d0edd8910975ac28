"""Entries as the version before the chains writes them."""

from django.db import connection

OLD = (
    "INSERT INTO audit_entry (stream, at, action, actor, body) "
    "VALUES (%s, '2026-01-01 00:00:00+00:00', 'test.old', 'system', %s)"
)


def write_as_before(stream: str, number: int) -> None:
    """What the version before the chains writes, even now."""
    body = (
        '{"action":"test.old","actor":"system","at":"2026-01-01T00:00:00.000000Z",'
        f'"details":{{"number":{number}}},"stream":"{stream}","v":1}}'
    )
    with connection.cursor() as cursor:
        cursor.execute(OLD, [stream, body])
