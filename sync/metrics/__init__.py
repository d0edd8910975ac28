"""What does a monitor read, and where does each process store what it has measured?"""
