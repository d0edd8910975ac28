"""Do the two systems of a route agree, and what differs?"""
