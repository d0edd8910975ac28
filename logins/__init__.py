"""Who may try a password, and how often? Who may be a second person?"""
