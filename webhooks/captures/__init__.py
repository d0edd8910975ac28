"""Which unverified requests are stored for a while, and how are their headers masked?"""
