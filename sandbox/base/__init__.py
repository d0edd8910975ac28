"""What do both stand-in systems share: the store, the collections, the request log, the control pages?"""
