"""A source whose entities refer to each other: groups have members, files have an owner. Their webhooks come in any order."""

import json
import os
import random
import signal
from collections import defaultdict
from collections.abc import Iterator
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
        chance = random.Random(self.seed)
        directory = driver.identity.directory
        users = [f"USER{number}" for number in range(self.users)]
        for user in (*users, NEVER):
            emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
            directory.create_record("users", {"id": user, "username": user.lower(), "emails": emails})
        placed: list[tuple[float, Webhook | Batch]] = []
        for number in range(self.files):
            owner, name = chance.choice(users), f"PLAN{number}"
            directory.create_record("files", {"id": name, "name": name, "ownerId": owner})
            webhook = EntityWebhook(f"msg_{name}", name, chance.choice(("ack", "result")), 0, "FILE")
            placed.append((chance.uniform(0, 0.6), webhook))
        in_batches: list[Change] = []
        for number in range(self.groups):
            members, name = chance.sample(users, chance.randint(2, 5)), f"TEAM{number}"
            if self.has_missing and number % 3 == 0:
                members.append(NEVER)
            directory.create_record("groups", {"id": name, "name": name, "members": members})
            if number % 2:
                in_batches.append(Change(f"event_{name}", name, table="teams"))
            else:
                placed.append((chance.uniform(0, 0.6), EntityWebhook(f"msg_{name}", name, "ack", 0, "GROUP")))
            if number % 4 < 2:
                again = EntityWebhook(f"again_{name}", name, "ack", 0, "GROUP")
                driver.new_members[again.webhook_id] = chance.sample(users, 3)
                placed.append((chance.uniform(0.7, 1.0), again))
        for user in users:
            if chance.random() < 0.5:
                in_batches.append(Change(f"event_{user}", user))
            else:
                placed.append(
                    (chance.uniform(0.2, 1.0), EntityWebhook(f"msg_{user}", user, "ack", 0, "USER"))
                )
        chance.shuffle(in_batches)
        for number, first in enumerate(range(0, len(in_batches), 6)):
            batch = Batch(f"batch_{number}", (ACK, RESULT)[number % 2], tuple(in_batches[first : first + 6]))
            placed.append((chance.uniform(0.2, 1.0), batch))
        return [request for _, request in sorted(placed, key=lambda pair: pair[0])]


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
