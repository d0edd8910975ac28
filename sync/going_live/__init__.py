"""May a route write to its target, and what would it do if it did?"""
