"""A migrated database with the settings that join it to two doubles, made before a test begins."""

import os
import sys
from pathlib import Path

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.support.hub import SIGNING_SECRET
from tests.support.processes.hub_processes import RunningHub


def prepared_hub(
    folder: Path, database: tuple[str, str], services: tuple[IdentityService, ShopService], **variables: str
) -> RunningHub:
    """A hub that is seeded and not started. `database`: where it is, migrated, and its DATABASE_URL."""
    identity, shop = services
    environment = os.environ | {
        "DATABASE_URL": database[1],
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SANDBOX_IDENTITY_PORT": str(identity.port),
        "SANDBOX_SHOP_PORT": str(shop.port),
        "SANDBOX_IDENTITY_TOKEN": "identity-token",
        "SANDBOX_SHOP_TOKEN": "shop-token",
        "SANDBOX_SIGNING_SECRET": SIGNING_SECRET,
        **variables,
    }
    hub = RunningHub(database[0], environment)
    hub.manage("seed_sandbox", "--logins", str(folder / "logins.txt"))
    return hub
