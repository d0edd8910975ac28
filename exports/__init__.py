"""How is the history exported so that the file can be verified on its own?"""
