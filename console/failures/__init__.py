"""What broke, and who looks after it?"""
