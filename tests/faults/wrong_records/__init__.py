"""Webhooks that tempt the hub to remove, double or take over a record: promises I24 and I26 in figures."""
