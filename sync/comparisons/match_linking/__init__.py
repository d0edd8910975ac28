"""Which records, found by a value, are linked to their entities by a person, one by one or all that are certain?"""
