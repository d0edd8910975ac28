"""What is wrong now?"""
