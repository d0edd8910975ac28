"""Whether the audit log in a database is whole and unchanged. Pure: rows come in as iterables, faults go out.

`audit.database_check` reads the rows; `audit/verify.py` does the same for an export with Python alone.
"""
