"""Which three days does the hub of `make run` open with?"""
