"""How are secrets and personal bytes encrypted at rest?"""
