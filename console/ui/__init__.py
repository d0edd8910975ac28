"""Which building blocks do the pages share: chips, charts, links, times and states?"""
