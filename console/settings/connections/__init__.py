"""Which remote systems are there, and how are they doing?"""
