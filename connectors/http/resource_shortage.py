"""Tell a shortage of the hub itself from the failure of a remote system: no connection was opened in both cases."""

import errno
import socket

SHORTAGE_REASON = "the hub has no file descriptor, port, memory or thread left"
# Of this process or machine: file descriptors, buffers, memory, and local ports.
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


def is_resource_shortage(error: BaseException) -> bool:
    """Return True if an error says that this process or machine lacks what a connection needs."""
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_MEMORY
    return isinstance(error, OSError) and error.errno in _SHORTAGES


def thread_shortage() -> OSError:
    """Make the error for a thread that could not be started."""
    return OSError(errno.ENOMEM, "no thread could be started")


def require_free_descriptor() -> None:
    """Raise OSError if no socket can be opened. Name lookups report that as an unknown name."""
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()


def is_missing_address(error: OSError, family: int) -> bool:
    """Return True if a machine without IPv6 tried an IPv6 address. Over IPv4, the error means that all local ports are
    in use.
    """
    return error.errno == errno.EADDRNOTAVAIL and family != socket.AF_INET
