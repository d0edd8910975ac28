"""What do both stand-in systems share: the store, the request log, the control pages?"""
