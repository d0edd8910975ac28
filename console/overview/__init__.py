"""How is the hub doing, at a glance, and what needs this person?"""
