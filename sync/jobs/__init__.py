"""How is long work claimed, resumed, requeued and cancelled, whatever its kind?"""
