"""What a process has loaded stays until it ends: the collector of garbage need not look through it again and again."""

import gc

_NEW_ONES = 10_000  # objects between two looks at the new ones; Python's 700 are made by every webhook


def keep_what_is_loaded() -> None:
    """At the end of a start. The collector took a tenth of the CPU of a webhook."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_ONES)
