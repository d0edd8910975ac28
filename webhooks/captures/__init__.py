"""Which requests are stored for a limited time, and how are their headers masked?"""
