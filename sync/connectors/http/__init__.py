"""How does one HTTP exchange stay within its time, bytes and address?"""
