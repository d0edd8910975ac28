"""What do the two systems of a comparison hold, page by page?"""
