"""Which failures are open, and who owns them?"""
