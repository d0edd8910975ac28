"""How is a record checked again: after a late write, a new record that it refers to, or a field's first value?"""
