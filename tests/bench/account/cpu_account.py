"""The CPU time of one webhook by parts, and all of its SQL statements (`--account`)."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.bench.machinery.databases import fresh_database
from tests.bench.machinery.processes import ROOT
from tests.bench.machinery.servers import prepare_hub
from tests.bench.machinery.systems import Systems
from tests.bench.reports.table import table

WORTH_A_ROW = 0.01  # milliseconds


def account(kind: str, systems: Systems, folder: Path, events: int) -> list[dict[str, Any]]:
    """Return the accounts of a `result` event, of an `ack` event and of its delivery, each from a separate process."""
    with fresh_database(kind, folder) as database:
        environment = prepare_hub(database, systems, folder)
        return [
            take_account(environment, folder, mode, events) | {"database": kind}
            for mode in ("result", "worker", "ack")  # the last leaves deliveries open
        ]


def take_account(environment: dict[str, str], folder: Path, mode: str, events: int) -> dict[str, Any]:
    """Run `process_account` in a separate process with this environment. Returns its account."""
    command = [sys.executable, "-m", "tests.bench.account.process_account", mode, str(events)]
    with (folder / "account.log").open("ab") as log:
        result = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, timeout=600
        )
    assert result.returncode == 0, (folder / "account.log").read_text()[-3000:]
    account: dict[str, Any] = json.loads(result.stdout)
    return account


def show(taken: dict[str, Any]) -> str:
    """Format an account as text: parts by falling cost, then the statements of one event in order."""
    parts = dict(sorted(taken["parts"].items(), key=lambda item: -item[1]["cpu"]))
    named = sum(part["cpu"] for part in parts.values())
    rows = [_row(name, part, named) for name, part in parts.items() if part["cpu"] >= WORTH_A_ROW]
    small = [part for part in parts.values() if part["cpu"] < WORTH_A_ROW]
    rows.append(_row(f"{len(small)} smaller ones", _sum(small), named))
    rows.append(_row("all parts", _sum(parts.values()), named))
    lines = [
        f"## Account of one `{taken['mode']}` event on {taken['database']}, in process, without the web server",
        "",
        f"CPU {taken['cpu']:.2f} ms, {taken['wall']:.2f} ms one after the other; "
        f"{taken['statements']:.1f} statements, {taken['commits']:.1f} commits.",
        "",
        table(["part", "CPU ms", "share", "ms", "calls"], rows),
        "",
        *(f"{number:3} {statement}" for number, statement in enumerate(taken["one_event"], 1)),
        "",
        _moves_line(taken["moves"]),
    ]
    if taken["missing"]:
        lines += ["", f"Not found, see tests/bench/account/points.py: {', '.join(taken['missing'])}"]
    return "\n".join(lines)


def _moves_line(moves: dict[str, Any]) -> str:
    most = "; ".join(f"{times} {one} → {other}" for one, other, times in moves["most"])
    return (
        f"Calls of one event: {moves['calls']} of {moves['functions']} functions in {moves['modules']} modules, "
        f"{moves['moves']} of them from module to module, {moves['between_packages']} from package to package. "
        f"Most: {most}"
    )


def _sum(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    listed = list(parts)
    return {name: sum(row[name] for row in listed) for name in ("cpu", "wall", "calls")}


def _row(name: str, part: dict[str, float], total: float) -> list[str]:
    share = part["cpu"] / total
    return [name, f"{part['cpu']:.2f}", f"{share:.0%}", f"{part['wall']:.2f}", f"{part['calls']:.1f}"]
