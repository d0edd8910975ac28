"""Do the rows in this database agree with the audit log?"""
