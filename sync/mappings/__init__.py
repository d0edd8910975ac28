"""How is a mapping drafted, changed, checked against its routes, and tried on past events?"""
