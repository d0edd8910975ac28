"""Which commands verify the audit log?"""
