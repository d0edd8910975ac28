"""Are the settings safe when a process starts?"""
