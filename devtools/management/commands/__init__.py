"""Which commands do operators and developers run?"""
