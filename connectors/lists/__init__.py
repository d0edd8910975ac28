"""How is a list read page by page, without ever leaving the base URL of its connection?"""
