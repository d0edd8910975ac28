"""How is the hub doing, at a glance?"""
