"""Which events are there, and what happened to this one?"""
