"""What has a person chosen and entered for a pair that does not exist yet?"""
