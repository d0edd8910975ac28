"""Which outcomes exist, and which texts do people read for each?"""
