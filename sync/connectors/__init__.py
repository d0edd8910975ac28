"""How does the hub speak to one kind of remote system?"""
