"""Which commands create exports?"""
