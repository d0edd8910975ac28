"""Is the log in this database complete and unchanged?"""
