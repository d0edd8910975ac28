"""How may a job read a system while deliveries use it too?"""
