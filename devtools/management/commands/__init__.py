"""Which commands do developers run?"""
