"""How is a database filled before it is measured?"""
