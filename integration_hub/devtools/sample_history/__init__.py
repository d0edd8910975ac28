"""How is a history made up that looks like ninety days of work?"""
