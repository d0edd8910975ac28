"""How are figures summed up, printed and judged?"""
