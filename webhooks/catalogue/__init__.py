"""Which outcomes exist, and what do people read for each?"""
