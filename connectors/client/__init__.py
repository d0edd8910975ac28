"""How is a request authenticated, recorded and retried once?"""
