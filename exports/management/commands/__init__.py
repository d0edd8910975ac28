"""Which commands make exports?"""
