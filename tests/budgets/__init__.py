"""Limits on the SQL statements of one webhook, and on statements that use no index."""
