"""What may the hub contact, and does its configuration ask for more?"""
