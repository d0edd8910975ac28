"""How are the packages wired into one Django project, and which commands run it?"""
