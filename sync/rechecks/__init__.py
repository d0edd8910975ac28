"""How is a record checked again after a write that may arrive late?"""
