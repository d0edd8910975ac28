"""Is the log in this database whole?"""
