"""A PostgreSQL server that falls silent: nothing arrives any more, and nothing says so, as when its machine is down.

Server and hub run in a network of their own, whose only interface is switched off.
"""

import os
import shutil
import socket
import subprocess
import sys

import pytest
from django.db import connection

from database.settings import SILENT_SERVER_LIMITS
from tests.support.processes.hub_processes import ROOT

pytestmark = [
    pytest.mark.faults,
    pytest.mark.nightly,
    pytest.mark.only_postgresql,
    pytest.mark.concurrent,
]

NOTICED_SECONDS = 18.0
OPTIONS = {
    "TCP_USER_TIMEOUT": "tcp_user_timeout",
    "TCP_KEEPIDLE": "keepalives_idle",
    "TCP_KEEPINTVL": "keepalives_interval",
    "TCP_KEEPCNT": "keepalives_count",
}
SCRIPT = """
import atexit, fcntl, os, socket, struct, threading, time
import django
django.setup()
from database.settings import postgresql_settings
from tests.faults.fleet.storage import Cluster

def switch(state):
    # SIOCSIFFLAGS of ioctl, as `ip link set lo` does.
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1 if state == "up" else 0))

switch("up")
cluster = Cluster()
cluster.start()
# Also if an error ends this script.
atexit.register(cluster.close)
address = {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "hub", "HOST": "127.0.0.1",
           "PORT": cluster.url.rpartition(":")[2].partition("/")[0]}
wired = postgresql_settings(address, wait_seconds=1, pool_size=4, prepare_threshold=None)
from django.db import OperationalError, connection, connections

connections.settings["default"].update(wired)
ready, noticed = threading.Barrier(3), []

def use(name, statement, begins):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        ready.wait(20)
        begins(20)
        try:
            cursor.execute(statement)
        except OperationalError:
            noticed.append(name)

is_down = threading.Event()
uses = [("waits", "SELECT pg_sleep(600)", lambda _: None), ("sends", "SELECT 1", is_down.wait)]
for name, statement, begins in uses:
    threading.Thread(target=use, args=(name, statement, begins), daemon=True).start()
ready.wait(20)
time.sleep(1)
switch("down")
is_down.set()
until = time.monotonic() + SECONDS
while len(noticed) < 2 and time.monotonic() < until:
    time.sleep(0.1)
print(sorted(noticed))
switch("up")
# The pool opens connections again after a pause.
until = time.monotonic() + 10
while True:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            print("back", cursor.fetchone())
        break
    except OperationalError:
        if time.monotonic() > until:
            raise
        # As the hub does: Django keeps one that the pool gave it just before it was found closed.
        connection.close()
        time.sleep(0.2)
cluster.close()
os._exit(0)
"""

# Prints how many probes were sent before the connection ended.
PROBES = """
import fcntl, socket, struct
from database.settings import SILENT_SERVER_LIMITS

def switch(state):
    # SIOCSIFFLAGS of ioctl, as `ip link set lo` does.
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1 if state == "up" else 0))

def sent_probes():
    names, values = open("/proc/net/netstat").read().splitlines()[:2]
    return int(dict(zip(names.split(), values.split()))["TCPKeepAlive"])

limits, options = SILENT_SERVER_LIMITS, OPTIONS
switch("up")
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
for option, name in options.items():
    client.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), limits[name])
accepted = server.accept()
switch("down")
before = sent_probes()
try:
    client.recv(1)
except OSError:
    print(sent_probes() - before)
"""


def own_network() -> list[str]:
    """Return the command that runs another one in a network of its own; empty if this machine allows none."""
    for command in (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"]):
        if (
            shutil.which("unshare")
            and not subprocess.run([*command, "true"], check=False, capture_output=True).returncode
        ):
            return command
    return []


OWN_NETWORK = own_network()


def printed_lines(script: str) -> list[str]:
    """Run a script in a network of its own. Returns the lines that it printed."""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "integration_hub.settings"}
    command = [*OWN_NETWORK, sys.executable, "-c", script]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_the_system_knows_the_limits_of_a_connection(database: None) -> None:
    connection.ensure_connection()
    with socket.fromfd(connection.connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as wire:
        known = {
            name: wire.getsockopt(socket.IPPROTO_TCP, getattr(socket, option))
            for option, name in OPTIONS.items()
        }
    assert known == SILENT_SERVER_LIMITS


# Where no process may have a network of its own, only the test above shows that the limits are set.
if OWN_NETWORK:

    def test_a_silent_server_is_noticed_whoever_waits_for_it() -> None:
        """Both of two uses of a connection end with an error, and the next one reads."""
        noticed, back = printed_lines(SCRIPT.replace("SECONDS", str(NOTICED_SECONDS)))
        assert noticed == str(["sends", "waits"])
        assert back == "back (1,)"

    def test_one_lost_probe_ends_no_connection() -> None:
        (probes,) = printed_lines(PROBES.replace("OPTIONS", str(OPTIONS)))
        assert int(probes) >= 2
