"""What does an export hold, and how is it packed?"""
