"""Move the hub: prepare the target while the hub runs, refuse writes, copy, complete and compare."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.core.management.base import CommandError
from django.db import connection

from database.move_marker import Move, read_move
from integration_hub.move.maintenance import FROZEN, begin_move, drain, end_move, freeze
from integration_hub.move.source_rows import SourceRows, open_source
from integration_hub.move.table_copy import check_rows, copy_table, digest_target
from integration_hub.move.target import LEFT_OUT, Target
from integration_hub.move.values import RowConverter

Announce = Callable[[str], None]
# Measured: copying and comparing take four times as long as reading and converting every row, and `verify_audit` six.
_WHOLE_TO_READING = 10.0
_TARGET_TO_FILE = 1.5


@dataclass(frozen=True, slots=True)
class MoveOptions:
    """What an operator asked for: where to, only an estimate, or to go on although verify_audit finds faults."""

    described: str
    only_estimates: bool = False
    accepts_faults: bool = False


def move_hub(target: Target, options: MoveOptions, announce: Announce) -> None:
    """Move the hub from the SQLite file of DATABASE_URL into the target.

    1. While the hub runs: create the tables of the target, and check that each value fits.
    2. Let all processes refuse webhooks and claims, wait for what is running, then refuse every write.
    3. Copy the rows that are not there yet; create indexes, foreign keys and triggers; set the sequences.
    4. Compare every value of both databases, and verify the audit log and the rows of the target.
    5. Mark the old database as moved, then the target as usable.

    Each step can be repeated: called again after a kill, it goes on with the batch or the step that is missing. Raises
    CommandError.
    """
    move = read_move()
    if move is not None and move.has_ended:
        _finish_ended(target, move, announce)
        return
    with open_source() as source:
        converters = _prepare(source, target, announce)
        if move is None:
            _estimate(source, converters, announce)
        if options.only_estimates:
            return
        move = begin_move(options.described)
        target.adopt(move.key)
        if move.stage != FROZEN:
            _refuse_writes(announce)
    # A connection that was opened before the last commit might still read what was before it.
    with open_source() as source:
        began = time.monotonic()
        copied = _copy(source, target, converters, announce)
        target.create_postponed()
        target.set_sequences(source.last_given_ids())
        target.analyze()
        announce(f"Copied {copied:,} rows in {time.monotonic() - began:.0f} s.")
        _compare(source, target, converters, announce)
    _verify(target, announce, accepts_faults=options.accepts_faults)
    end_move(move)
    target.finish()


def _finish_ended(target: Target, move: Move, announce: Announce) -> None:
    """Finish a move that was killed between its last two commits."""
    if target.read_key() != move.key:
        raise CommandError(f"This hub has moved to {move.target} already.")
    target.finish()
    announce("The move had ended already; the target is usable now.")


def _prepare(source: SourceRows, target: Target, announce: Announce) -> list[RowConverter]:
    """Create the tables of the target, unless they are there, and return how their rows are converted."""
    tables = [table for table in source.list_tables() if table not in LEFT_OUT]
    if target.read_key() is None:
        target.begin()
    move = read_move()
    target.adopt(move.key if move else "")
    target.prepare(tables)
    columns = target.list_columns()
    for table in tables:
        here, there = set(source.list_columns(table)), {column.name for column in columns.get(table, ())}
        if here != there:
            raise CommandError(
                f"The table {table} differs in the target: {', '.join(sorted(here ^ there)) or 'it is missing'}. "
                "Nothing was copied."
            )
    announce(f"The target has the {len(tables)} tables of the hub.")
    return [RowConverter.for_table(table, columns[table]) for table in tables]


def _estimate(source: SourceRows, converters: list[RowConverter], announce: Announce) -> None:
    """Convert all rows while the hub runs, and say what the move will need."""
    began = time.monotonic()
    rows = check_rows(source, converters)
    seconds = (time.monotonic() - began) * _WHOLE_TO_READING
    file = Path(str(connection.settings_dict["NAME"]))
    size = file.stat().st_size / 1e6
    announce(
        f"{rows:,} rows fit into the target. The move takes about {seconds / 60:.0f} min {seconds % 60:.0f} s, during "
        f"which sources get 503 and the console is read-only. It needs about {size * _TARGET_TO_FILE:,.0f} MB on the "
        f"database server; this machine has {shutil.disk_usage(file.parent).free / 1e6:,.0f} MB free and needs none."
    )


def _refuse_writes(announce: Announce) -> None:
    announce("No webhook is stored and no delivery begins from now on. Waiting for those that are running.")
    running = drain()
    freeze()
    if running:
        announce(f"{running} deliveries did not end in time: they are repeated after the move.")
    announce("The old database refuses every write.")


def _copy(source: SourceRows, target: Target, converters: list[RowConverter], announce: Announce) -> int:
    """Copy what is missing of each table. Returns how many rows were copied."""
    rows, copied = 0, target.copied_tables()
    for number, converter in enumerate(converters, 1):
        table = copied[converter.table]
        if not table.is_copied:
            new = copy_table(source, target, converter, table)
            rows += new
            if new:
                announce(f"{number}/{len(converters)} {table.name}: {new:,} rows")
    return rows


def _compare(source: SourceRows, target: Target, converters: list[RowConverter], announce: Announce) -> None:
    """Raise CommandError if a table of the target has other rows, or other values, than the old one."""
    began, copied = time.monotonic(), target.copied_tables()
    for converter in converters:
        before, after = source.count_rows(converter.table), target.count_rows(converter.table)
        if before != after:
            raise CommandError(
                f"{converter.table} has {before:,} rows in the old database and {after:,} in the target."
            )
        digest = digest_target(target, converter)
        if int(digest, 16) != int(copied[converter.table].digest, 16):
            raise CommandError(f"{converter.table} has other values in the target than in the old database.")
        if converter.table == "audit_entry":
            announce(f"The audit log is equal in both databases, byte for byte (SHA-256 sum {digest}).")
    announce(f"All values of all tables are equal, compared in {time.monotonic() - began:.0f} s.")


def _verify(target: Target, announce: Announce, *, accepts_faults: bool) -> None:
    """Run `verify_audit`, which also checks the rows, in the target. Raises CommandError if it finds faults."""
    began = time.monotonic()
    ended = target.manage("verify_audit")
    if ended.returncode and not accepts_faults:
        raise CommandError(
            f"{ended.stderr.strip()[-2000:]}\nverify_audit finds these faults in the target. All values are equal, so "
            "the old database has them too. To move nevertheless, add --accept-faults."
        )
    announce(f"verify_audit took {time.monotonic() - began:.0f} s in the target. {ended.stdout.strip()}")
