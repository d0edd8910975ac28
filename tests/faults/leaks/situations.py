"""Canaries, and the situations in which the stand-in systems repeat them."""

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from sandbox.base.service import SandboxService
from sandbox.faults.echoes import ENCODINGS
from sync.deliveries.routes import resolved_routes
from sync.limits.circuit_breaker import invalidate_breakers
from sync.models import Breaker, Connection
from tests.support.hub import Hub

SEED = 6
CANARIES = 40
SITUATIONS = 60
Side = Literal["identity", "shop"]
SIDES: tuple[Side, ...] = ("identity", "shop")
SCHEMES = {
    "identity": ("bearer", "basic"),
    "shop": ("bearer", "basic", "header", "oauth2-client-credentials"),
}
# Characters before the echo: none, and as many as bring it to the limits of a sentence, of a header and of a body.
BEFORE = (0, 100, 250, 270, 285, 295, 299, 300, 301, 990, 65_400, 65_536)
_SPECIAL = "+/=%&;<>\\\"'._-:@"


@dataclass(frozen=True, slots=True)
class Situation:
    """One echo. `before`: characters before it in an error; None for an echo in the regular response."""

    side: Side
    scheme: str
    encoding: str
    before: int | None
    is_relayed: bool
    wants_entity: bool
    identity_secret: str
    shop_secret: str


def make_canaries(seed: int = SEED) -> list[str]:
    """Return secrets of many shapes: letters and digits only, and with everything that some encoding escapes."""
    chance = random.Random(seed)
    alphabets = (string.ascii_letters + string.digits, string.ascii_letters + string.digits + _SPECIAL)
    return [
        f"c{number:02}" + "".join(chance.choices(alphabets[number % 2], k=chance.randint(12, 60)))
        for number in range(CANARIES)
    ]


def sample_situations(canaries: list[str]) -> list[Situation]:
    """Return the situations: a sample with a fixed seed, in which each canary occurs."""
    chance = random.Random(SEED)
    every = [
        (side, scheme, *rest)
        for side in SIDES
        for scheme in SCHEMES[side]
        for rest in product(ENCODINGS, (*BEFORE, None), (True, False), (True, False))
    ]
    half = len(canaries) // 2
    return [
        Situation(*choice, canaries[number % half], canaries[half + number % half])  # type: ignore[misc]
        for number, choice in enumerate(chance.sample(every, SITUATIONS))
    ]


def set_up(hub: Hub, situation: Situation) -> None:
    """Give both ends the canaries of a situation, and make one of them repeat requests."""
    give_secrets(hub, situation.identity_secret, situation.shop_secret)
    Breaker.objects.all().delete()
    for slug, side in (("aurora", "identity"), ("shop", "shop")):
        scheme = situation.scheme if side == situation.side else "bearer"
        secret = situation.identity_secret if side == "identity" else situation.shop_secret
        connection = Connection.objects.get(slug=slug)
        connection.authentication, connection.credentials = _credentials(scheme, secret)
        connection.relays_sentences = situation.is_relayed
        connection.save()
    resolved_routes.invalidate()
    invalidate_breakers()
    service: SandboxService = hub.identity if situation.side == "identity" else hub.shop
    service.faults.clear()
    echo: dict[str, Any] = {"encoding": situation.encoding}
    if situation.before is None:
        echo["applied"] = True
    else:
        echo["sentence"] = "x" * situation.before
    service.faults.add("echo", **echo)


def give_secrets(hub: Hub, identity_secret: str, shop_secret: str) -> None:
    """Let both stand-ins accept these secrets only."""
    hub.identity.token = identity_secret
    hub.shop.access._secret = shop_secret
    hub.shop.access.revoke_tokens()


def _credentials(scheme: str, secret: str) -> tuple[dict[str, str], dict[str, str]]:
    match scheme:
        case "basic":
            return {"scheme": scheme}, {"username": "hub", "password": secret}
        case "header":
            return {"scheme": scheme, "header": "X-Api-Key"}, {"value": secret}
        case "oauth2-client-credentials":
            return {"scheme": scheme}, {"client_id": "hub", "client_secret": secret}
    return {"scheme": "bearer"}, {"token": secret}


def issued_tokens(hub: Hub) -> Iterator[str]:
    """Yield the access tokens that the shop has issued, which are secrets too."""
    yield from hub.shop.access._tokens
