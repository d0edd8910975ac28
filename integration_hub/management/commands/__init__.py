"""Which commands do operators run?"""
