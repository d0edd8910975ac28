"""How is the database copied while the hub runs, and how does it come back?"""
