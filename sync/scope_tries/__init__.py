"""How many entities would enter, stay in and leave the scope of a route under a condition?"""
