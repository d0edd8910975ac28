"""How does a stand-in system speak HTTP?"""
