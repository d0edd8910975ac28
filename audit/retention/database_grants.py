"""Rights of the PostgreSQL role that runs the hub: everything that the hub does, and no change of evidence.

Triggers refuse changes of the audit log to everybody, but the owner of a table can disable them. A role that owns
nothing and has no right to change these tables cannot.
"""

from collections.abc import Iterator

from django.db import connection

EVIDENCE_TABLES = (
    "entry",
    "segment",
    "checkpoint",
    "publishedcheckpoint",
    "verification",
    "signingkey",
    "cut",
    "stub",
)
_RETENTION_TABLES = ("cut", "stub")
# The columns of a signing key that change when the next one begins.
_KEY_END_COLUMNS = "private, valid_until"


def grant_statements(role: str, schema: str = "public") -> Iterator[str]:
    """Yield the statements that the owner of the tables runs after each `migrate`. `role` is a quoted identifier."""
    everything = f"IN SCHEMA {schema}"
    evidence = ", ".join(f"{schema}.audit_{table}" for table in EVIDENCE_TABLES)
    # Everything first, so that no right remains that an earlier version granted.
    yield f"REVOKE ALL ON ALL TABLES {everything} FROM {role}"
    yield f"REVOKE ALL ON ALL SEQUENCES {everything} FROM {role}"
    # Before PostgreSQL 15 every role may create tables in `public`, and would own them.
    yield f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {role}"
    yield f"GRANT USAGE ON SCHEMA {schema} TO {role}"
    yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES {everything} TO {role}"
    yield f"GRANT USAGE, SELECT ON ALL SEQUENCES {everything} TO {role}"
    yield f"REVOKE UPDATE, DELETE ON {evidence} FROM {role}"
    # A row of `cut` permits a deletion, so only the owner may add one.
    yield f"REVOKE INSERT ON {', '.join(f'{schema}.audit_{table}' for table in _RETENTION_TABLES)} FROM {role}"
    # The only change of evidence that the hub makes: a key rotation destroys the previous private half.
    yield f"GRANT UPDATE ({_KEY_END_COLUMNS}) ON {schema}.audit_signingkey TO {role}"
    yield f"REVOKE INSERT, UPDATE, DELETE ON {schema}.django_migrations FROM {role}"


def may_delete_entries() -> bool:
    """True if the role of DATABASE_URL may delete pruned entries. The hub's own role may not."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('audit_entry', 'DELETE')")
        return bool(cursor.fetchone()[0])
