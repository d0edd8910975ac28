"""Which events match a filter, a search term or a period, and which person does a caller mean?"""
