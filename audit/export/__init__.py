"""How does an export prove itself without the database?"""
