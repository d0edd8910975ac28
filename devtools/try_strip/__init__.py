"""What can a visitor of `make run` try, in which order?"""
