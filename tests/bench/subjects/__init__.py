"""What is measured?"""
