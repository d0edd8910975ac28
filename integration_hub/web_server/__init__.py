"""How does a web process read requests, and refuse what is no valid HTTP?"""
