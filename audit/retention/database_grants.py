"""What a role of PostgreSQL may do that runs the hub: everything that the hub does, and nothing to what is evidence.

Triggers refuse changes of the audit log to everybody; but who owns a table can switch them off. A role that owns
nothing, and has no right to change these tables, cannot.
"""

from collections.abc import Iterator

from django.db import connection

EVIDENCE_TABLES = ("entry", "segment", "checkpoint", "anchoring", "verification", "signingkey", "cut", "stub")
_RETENTION_TABLES = ("cut", "stub")
_KEY_END_COLUMNS = "private, valid_until"  # of a signing key, when the next one begins


def grant_statements(role: str, schema: str = "public") -> Iterator[str]:
    """The statements, for the owner of the tables, again after each `migrate`. `role` is quoted as it has to be."""
    everything = f"IN SCHEMA {schema}"
    evidence = ", ".join(f"{schema}.audit_{each}" for each in EVIDENCE_TABLES)
    yield f"REVOKE ALL ON ALL TABLES {everything} FROM {role}"
    yield f"REVOKE ALL ON ALL SEQUENCES {everything} FROM {role}"
    yield f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {role}"
    yield f"GRANT USAGE ON SCHEMA {schema} TO {role}"
    yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES {everything} TO {role}"
    yield f"GRANT USAGE, SELECT ON ALL SEQUENCES {everything} TO {role}"
    yield f"REVOKE UPDATE, DELETE ON {evidence} FROM {role}"
    yield f"REVOKE INSERT ON {', '.join(f'{schema}.audit_{each}' for each in _RETENTION_TABLES)} FROM {role}"
    yield f"GRANT UPDATE ({_KEY_END_COLUMNS}) ON {schema}.audit_signingkey TO {role}"
    yield f"REVOKE INSERT, UPDATE, DELETE ON {schema}.django_migrations FROM {role}"


def may_delete_entries() -> bool:
    """Whether whom DATABASE_URL names may delete entries that are kept no longer; the hub's own role may not."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('audit_entry', 'DELETE')")
        return bool(cursor.fetchone()[0])
