"""How is a history generated that looks like ninety days of work?"""
