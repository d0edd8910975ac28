"""What keeps the store bounded and the audit log provable?"""
