"""How many events, failures and calls were there by the hour?"""
