"""How is a record checked again: after a write that may arrive late, or once a missing reference has its record?"""
