"""How does a web process read requests, and refuse those that are not valid HTTP?"""
