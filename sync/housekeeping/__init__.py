"""Which work limits the stored data and keeps the audit log provable?"""
