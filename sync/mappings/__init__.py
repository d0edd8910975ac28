"""How is a mapping changed, compared with what its routes can do, and tried on past events?"""
