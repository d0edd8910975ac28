"""A PostgreSQL server that falls silent: nothing arrives any more, and nothing says so, as when its machine is down.

Server and hub run in a network of their own, whose only interface is switched off.
"""

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.processes.hub_processes import ROOT

pytestmark = [pytest.mark.faults, pytest.mark.one_engine]

NOTICED_SECONDS = 18.0
SCRIPT = """
import os, subprocess, threading, time
import django
django.setup()
from database.settings import SILENT_SERVER_LIMITS, postgresql_settings
from tests.faults.fleet.storage import Cluster

def switch(state):
    subprocess.run(["ip", "link", "set", "lo", state], check=True)

switch("up")
cluster = Cluster()
cluster.start()
address = {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "hub", "HOST": "127.0.0.1",
           "PORT": cluster.url.rpartition(":")[2].partition("/")[0]}
wired = postgresql_settings(address, wait_seconds=1, pool_size=4, prepare_threshold=None)
if BROKEN:
    for name in SILENT_SERVER_LIMITS:
        wired["OPTIONS"].pop(name)
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
        time.sleep(0.2)
cluster.close()
os._exit(0)
"""

# Prints how many probes were sent before the connection ended.
PROBES = """
import socket, subprocess
from database.settings import SILENT_SERVER_LIMITS

def switch(state):
    subprocess.run(["ip", "link", "set", "lo", state], check=True)

def sent_probes():
    names, values = open("/proc/net/netstat").read().splitlines()[:2]
    return int(dict(zip(names.split(), values.split()))["TCPKeepAlive"])

limits = SILENT_SERVER_LIMITS | CHANGED
options = {"TCP_USER_TIMEOUT": "tcp_user_timeout", "TCP_KEEPIDLE": "keepalives_idle",
           "TCP_KEEPINTVL": "keepalives_interval", "TCP_KEEPCNT": "keepalives_count"}
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


def has_own_network() -> bool:
    """Return True if a process may have a network of its own on this machine."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "ip"))):
        return False
    return subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True).returncode == 0


def uses_that_noticed(is_broken: bool) -> list[str]:
    """Return what was printed: which of two uses of a connection ended with an error, and what the next one read."""
    return printed_lines(SCRIPT.replace("BROKEN", str(is_broken)).replace("SECONDS", str(NOTICED_SECONDS)))


def printed_lines(script: str) -> list[str]:
    """Run a script in a network of its own. Returns the lines that it printed."""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "integration_hub.settings"}
    command = ["unshare", "--net", sys.executable, "-c", script]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.only_postgresql
@pytest.mark.skipif(not has_own_network(), reason="needs root, unshare and ip")
@pytest.mark.parametrize("is_broken", [False, True])
def test_a_silent_server_is_noticed_whoever_waits_for_it(is_broken: bool) -> None:
    noticed, back = uses_that_noticed(is_broken)
    assert noticed == str([] if is_broken else ["sends", "waits"])
    assert back == "back (1,)"


@pytest.mark.only_postgresql
@pytest.mark.skipif(not has_own_network(), reason="needs root, unshare and ip")
@pytest.mark.parametrize("is_broken", [False, True])
def test_one_lost_probe_ends_no_connection(is_broken: bool) -> None:
    changed = {"keepalives_idle": 5, "keepalives_interval": 5} if is_broken else {}
    (probes,) = printed_lines(PROBES.replace("CHANGED", str(changed)))
    assert (int(probes) >= 2) is not is_broken
