"""What do audit entries say about the rows of a delivery?"""
