"""How does a hub move from SQLite to PostgreSQL without losing anything?"""
