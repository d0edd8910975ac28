"""Promises I1 to I10 and I23 for requests with several events, from sources with a webhook format."""
