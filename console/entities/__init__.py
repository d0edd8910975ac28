"""What is known of one user, group or file?"""
