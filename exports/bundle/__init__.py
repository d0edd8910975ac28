"""What does an export contain, and how is it packed?"""
