"""How is an export requested, followed and downloaded?"""
