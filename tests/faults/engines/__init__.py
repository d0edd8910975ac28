"""Does another engine keep the same promises?"""
