"""Which events are there, and what happened to each?"""
