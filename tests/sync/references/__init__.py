"""Which records of other entities does a delivery refer to, and how does it wait for them?"""
