"""How does a person connect two systems on one page?"""
