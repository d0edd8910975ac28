"""How are events sent again: one, many, and with which progress?"""
