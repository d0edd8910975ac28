"""How do entries become signed segments, and checkpoints that are sent outside?"""
