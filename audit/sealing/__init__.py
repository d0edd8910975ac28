"""How do entries become signed segments and checkpoints that leave the house?"""
