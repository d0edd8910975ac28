"""How do many threads and processes write to one SQLite file in turn?"""
