"""Which events match a filter, a search term or a period?"""
