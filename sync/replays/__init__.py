"""How does a person send events again: one, or thousands?"""
