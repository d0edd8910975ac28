"""How is the database copied while the hub runs, and how is a copy restored?"""
