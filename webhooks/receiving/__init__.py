"""How is one webhook admitted, stored and answered?"""
