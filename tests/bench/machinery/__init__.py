"""Which processes, databases and stand-in systems run while something is measured?"""
