"""What do both stand-in systems share: the store, the collections, the request journal, the control pages?"""
