"""What blocks a delivery, and how is one approved or closed manually?"""
