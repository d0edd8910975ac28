"""What does a connector promise: typed results, one tree of errors?"""
