"""Do the rows in this database say what the audit log says?"""
