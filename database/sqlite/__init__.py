"""How do many threads and processes take turns to write to one SQLite file?"""
