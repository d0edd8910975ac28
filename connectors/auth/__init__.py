"""How does a request prove who sends it: by a secret, a token, a signature or a session?"""
