"""Is a difference still one, when both systems are read again?"""
