"""How are events sent again, one or many, and how is the progress shown?"""
