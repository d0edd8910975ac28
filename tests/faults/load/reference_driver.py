"""A source whose entities refer to each other: groups have members, files have an owner. Their webhooks come in any order."""

import json
import os
import random
import signal
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.faults.load.batch_driver import BatchDriver
from tests.faults.load.native_source import ACK, RESULT, Batch, Change
from tests.faults.load.source_driver import Webhook
from tests.faults.load.storm import ProcessKiller

NEVER = "NEVER"
"""A member whose webhook is never sent."""


@dataclass(frozen=True, slots=True)
class EntityWebhook(Webhook):
    """A webhook about an entity of any type; `person` is its id."""

    entity_type: str = "USER"

    @property
    def body(self) -> bytes:
        respond = {"mode": self.mode, "wait": 500}
        return json.dumps(
            {"id": self.person, "entityType": self.entity_type, "eventType": "UPDATE", "respond": respond}
        ).encode()


@dataclass
class ReferenceDriver(BatchDriver):
    """A sender of webhooks and batches about users, groups and files.

    `new_members`: webhook id → the members that the group gets before this webhook is sent.
    """

    new_members: dict[str, list[str]] = field(default_factory=dict)

    def _change(self, webhook_id: str, person: str) -> None:
        members = self.new_members.pop(webhook_id, None)
        if members is not None:
            self.identity.directory.update_record("groups", person, {"members": members}, replaces=False)


@dataclass
class RestartingKiller(ProcessKiller):
    """A context manager that also restarts processes which have ended without it. `ended` counts them."""

    ended: int = 0

    def _run(self) -> None:
        assert self.gap is not None, "it has a gap"
        due = self.sent() + self.chance.randint(*self.gap)
        while not self._stopped.wait(0.02):
            self._restart_ended()
            if self.sent() >= due:
                due += self.chance.randint(*self.gap)
                victim = self.chance.choice(self.victims)
                victim.kill()
                victim.start()
                self.killed[victim.kind] += 1

    def _restart_ended(self) -> None:
        for member in self.victims:
            if member.process is not None and member.has_ended():
                with suppress(ProcessLookupError):  # its children
                    os.killpg(member.process.pid, signal.SIGKILL)
                member.start()
                self.ended += 1


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of entities of each type. `has_missing`: some groups have a member that never arrives."""

    seed: int
    users: int
    groups: int
    files: int
    has_missing: bool

    def prepare(self, driver: ReferenceDriver) -> list[Webhook | Batch]:
        """Create all entities in the identity service. Returns the requests in the order of their sending.

        Most groups and files come before the users that they refer to. Some groups come in a batch with users, some
        change their members later.
        """
        planner = _Planner(
            random.Random(self.seed), driver, [f"USER{number}" for number in range(self.users)]
        )
        planner.add_users()
        for number in range(self.files):
            planner.add_file(f"PLAN{number}")
        for number in range(self.groups):
            is_missing = self.has_missing and number % 3 == 0
            planner.add_group(
                f"TEAM{number}", is_missing=is_missing, is_batched=number % 2 == 1, changes=number % 4 < 2
            )
        planner.add_batches()
        return [request for _, request in sorted(planner.placed, key=lambda pair: pair[0])]


@dataclass
class _Planner:
    """`placed`: requests with their places, from 0 to 1. `batched`: the changes that come in batches."""

    chance: random.Random
    driver: ReferenceDriver
    users: Sequence[str]
    placed: list[tuple[float, Webhook | Batch]] = field(default_factory=list)
    batched: list[Change] = field(default_factory=list)

    def _place(self, first: float, last: float, request: Webhook | Batch) -> None:
        self.placed.append((self.chance.uniform(first, last), request))

    def add_users(self) -> None:
        for user in (*self.users, NEVER):
            emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
            self._create("users", {"id": user, "username": user.lower(), "emails": emails})
        for user in self.users:
            if self.chance.random() < 0.5:
                self.batched.append(Change(f"event_{user}", user))
            else:
                self._place(0.2, 1.0, EntityWebhook(f"msg_{user}", user, "ack", 0))

    def add_file(self, name: str) -> None:
        self._create("files", {"id": name, "name": name, "ownerId": self.chance.choice(self.users)})
        mode = self.chance.choice(("ack", "result"))
        self._place(0.0, 0.6, EntityWebhook(f"msg_{name}", name, mode, 0, "FILE"))

    def add_group(self, name: str, *, is_missing: bool, is_batched: bool, changes: bool) -> None:
        members = self.chance.sample(self.users, self.chance.randint(2, 5))
        self._create("groups", {"id": name, "name": name, "members": members + [NEVER] * is_missing})
        if is_batched:
            self.batched.append(Change(f"event_{name}", name, table="teams"))
        else:
            self._place(0.0, 0.6, EntityWebhook(f"msg_{name}", name, "ack", 0, "GROUP"))
        if changes:
            again = EntityWebhook(f"again_{name}", name, "ack", 0, "GROUP")
            self.driver.new_members[again.webhook_id] = self.chance.sample(self.users, 3)
            self._place(0.7, 1.0, again)

    def add_batches(self) -> None:
        self.chance.shuffle(self.batched)
        for number, first in enumerate(range(0, len(self.batched), 6)):
            changes = tuple(self.batched[first : first + 6])
            self._place(0.2, 1.0, Batch(f"batch_{number}", (ACK, RESULT)[number % 2], changes))

    def _create(self, collection: str, record: dict[str, Any]) -> None:
        self.driver.identity.directory.create_record(collection, record)


def find_wrong_references(identity: IdentityService, shop: ShopService) -> Iterator[str]:
    """Yield groups and files whose record does not name exactly the records of those entities that have one."""
    customers = {
        str(record.get("external_id")): str(record["id"]) for record in shop.list_records("customers")
    }
    segments = _by_entity(shop, "segments")
    for group in identity.list_records("groups"):
        expected = {customers[member] for member in group.get("members") or [] if member in customers}
        found = [set(record["members"] or []) for record in segments[group["id"]]]
        if str(group["id"]).startswith("TEAM") and found != [expected]:
            yield f"{group['id']} has the members {found}, expected were {expected}"
    documents = _by_entity(shop, "documents")
    for file in identity.list_records("files"):
        owners = [record["owner_id"] for record in documents[file["id"]]]
        if str(file["id"]).startswith("PLAN") and owners != [customers.get(file["ownerId"])]:
            yield f"{file['id']} has the owner {owners}, expected was {customers.get(file['ownerId'])}"


def find_reused_keys(shop: ShopService) -> Iterator[str]:
    """Yield keys of writes that were sent with different contents."""
    bodies: defaultdict[str, set[str]] = defaultdict(set)
    for entry in shop.read_journal(only_writes=True):
        if entry["key"]:
            bodies[entry["key"]].add(f"{entry['method']} {json.dumps(entry['body'], sort_keys=True)}")
    yield from (f"{key}: {sorted(found)}" for key, found in bodies.items() if len(found) > 1)


def _by_entity(shop: ShopService, collection: str) -> defaultdict[str, list[dict[str, Any]]]:
    records: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in shop.list_records(collection):
        records[str(record.get("external_id"))].append(record)
    return records
