"""How do fields of an entity become fields of a record?"""
