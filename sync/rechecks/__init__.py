"""How is a record checked again: after a write that may arrive late, or once a record that it refers to is new?"""
