"""How is the erasure of a person requested and confirmed?"""
