"""Which work keeps the store bounded and the audit log provable?"""
