"""Run a command until it ends, or until standard input closes: then no process of it is left, however the parent died.

Usage: `python guarded_process.py USER COMMAND…`; USER is `-` for the user of the parent. Not imported: a process of its own.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

STOP_SECONDS = 8


def main() -> int:
    # A terminal sends Ctrl-C and its own end to this process too, which must outlive the command. A handler, because the
    # command would inherit that a signal is ignored.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        user = None if sys.argv[1] == "-" else sys.argv[1]
        child = subprocess.Popen(sys.argv[2:], stdin=nothing, start_new_session=True, user=user)
    threading.Thread(target=stop_with_parent, args=(child,), daemon=True).start()
    status = child.wait()
    send_to_group(child.pid, signal.SIGKILL)
    return status


def stop_with_parent(child: "subprocess.Popen[bytes]") -> None:
    """Wait until the parent closes the pipe, also by its death; then end the command and its children."""
    while os.read(0, 1024):
        pass
    send_to_group(child.pid, signal.SIGTERM)
    threading.Event().wait(STOP_SECONDS)
    send_to_group(child.pid, signal.SIGKILL)


def send_to_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


if __name__ == "__main__":
    sys.exit(main())
