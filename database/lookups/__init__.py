"""Which values may a query contain that no column can hold?"""
