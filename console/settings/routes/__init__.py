"""Which events go where?"""
