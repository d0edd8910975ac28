"""When and in which thread or process does a delivery run?"""
