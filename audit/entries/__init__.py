"""How is an entry appended and found?"""
