"""Free ports of this machine, for processes that tests start."""

import random
import socket
from contextlib import suppress

# Below the range from which the kernel takes the ports of connections: one of those could be taken before the process
# listens, or while it is restarted.
_PORTS = range(10_240, 32_768)


def free_port() -> int:
    # Not the seeded generator of a test, by which two processes would choose the same ports.
    chance = random.SystemRandom()
    while True:
        port = chance.choice(_PORTS)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
