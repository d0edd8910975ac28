"""How is the history made into a file that proves itself?"""
