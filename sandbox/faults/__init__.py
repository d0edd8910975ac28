"""How does a stand-in system misbehave on demand?"""
