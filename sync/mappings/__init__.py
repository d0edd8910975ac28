"""How is a mapping changed and tried on past events?"""
