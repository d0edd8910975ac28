"""What would an upgrade of the database run, for how long, and what of it cannot be undone?"""
