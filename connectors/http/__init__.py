"""How does one HTTP exchange stay within its limits of time, size and address?"""
