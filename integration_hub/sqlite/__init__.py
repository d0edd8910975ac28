"""Django's SQLite backend with one queue for all writers (`queue`) and one connection for a process (`writer`)."""
