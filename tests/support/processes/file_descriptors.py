"""Leave this process without free file descriptors for a moment."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_free_descriptors() -> Iterator[None]:
    """Let the kernel refuse each new file descriptor of this process in the block with EMFILE."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    # Descriptors above the limit stay open and usable.
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
