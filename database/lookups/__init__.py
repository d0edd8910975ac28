"""Which values may a query ask for that no column holds?"""
