"""Change or copy connections with their credentials, which work only for the row and addresses they were entered for."""

import uuid
from typing import Any

from sync.models import Connection


def change_connection(connection: Connection, **values: Any) -> None:
    """Save changed settings of a connection as its form does if the credentials are entered again."""
    values = {"credentials": connection.credentials} | values
    for name, value in values.items():
        setattr(connection, name, value)
    connection.save()


def copy_connection(connection: Connection, slug: str, **values: Any) -> Connection:
    """Make this object a new row with the same credentials."""
    connection.credentials = connection.credentials
    connection.pk, connection.uuid, connection.slug = None, uuid.uuid4(), slug
    for name, value in values.items():
        setattr(connection, name, value)
    connection.save(force_insert=True)
    return connection
