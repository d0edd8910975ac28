"""How many wrong documents does their published JSON Schema refuse?"""
