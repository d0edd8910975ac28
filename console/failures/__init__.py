"""Which failures are open, since when, who is affected, and who owns them?"""
