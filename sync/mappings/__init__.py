"""How is a mapping changed, checked against its routes, and tried on past events?"""
