"""How is the hub doing, at one glance?"""
