"""Which entries may be deleted, and by which database role?"""
