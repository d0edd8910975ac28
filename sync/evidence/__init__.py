"""What do audit entries say of the rows of a delivery?"""
