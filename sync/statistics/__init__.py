"""How many events, failures and calls were there in each hour?"""
