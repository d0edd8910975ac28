"""Replay of many events: a frozen set of them, worked off over time by the workers.

`choosing` freezes the set, `choose_by_filter` the one that a filter of the event list means, `judging` says which of it
are skipped and why, `deciding` is what people do (start, approve, pause, let go on, stop), `sending` and `ending` are
what a worker does each second.
"""
