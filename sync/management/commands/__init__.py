"""Which commands deliver, count, prune and erase?"""
