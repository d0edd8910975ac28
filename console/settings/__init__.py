"""How is the hub configured?"""
