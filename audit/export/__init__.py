"""How can an export be verified without the database?"""
