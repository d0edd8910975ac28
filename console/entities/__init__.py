"""What does the hub know about one user, group or file, and how is it found?"""
