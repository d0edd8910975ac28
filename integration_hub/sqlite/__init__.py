"""Django's SQLite backend with one queue for all writers (see `queue`)."""
