"""Who may log in, with which role and preferences?"""
