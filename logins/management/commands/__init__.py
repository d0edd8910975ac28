"""Which commands help when a login does not work?"""
