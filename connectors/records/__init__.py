"""How does an operation become a request, and which records are in the response?"""
