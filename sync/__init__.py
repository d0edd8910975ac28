"""How is a stored webhook delivered to the target system?"""
