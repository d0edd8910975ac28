"""How are the published test vectors of the audit formats made?"""
