"""Which requests were refused?"""
