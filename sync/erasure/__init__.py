"""How is everything about one person erased?"""
