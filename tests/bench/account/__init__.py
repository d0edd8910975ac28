"""Where does the CPU time of one webhook go?"""
