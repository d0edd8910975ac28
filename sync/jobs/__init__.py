"""How is long work claimed, resumed, handed back and cancelled, whatever its kind?"""
