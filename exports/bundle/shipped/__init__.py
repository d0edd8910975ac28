"""Which files are copied into every export?"""
