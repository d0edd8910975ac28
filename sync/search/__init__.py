"""Which events does a filter, a search term or a period mean?"""
