"""Is the hub well, and who is told?"""
