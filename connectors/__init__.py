"""How does the hub communicate with one kind of remote system?"""
