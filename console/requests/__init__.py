"""Which requests reached the hub, and which were refused?"""
