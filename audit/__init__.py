"""What happened, in order, provably?"""
