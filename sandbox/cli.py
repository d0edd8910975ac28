"""The command line: ``python -m sandbox`` with ``identity``, ``shop`` or ``demo``."""

import argparse
import errno
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox.base.service import Service
from sandbox.demo import main as demo_main
from sandbox.http.messages import Problem
from sandbox.identity import IdentityService
from sandbox.shop import ShopService


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGINT or SIGTERM. 2 where a setting makes no sense or the address is taken.

    ``demo`` serves nothing; its exit code is that of ``sandbox.demo.main.main``.
    """
    options = _parser(os.environ).parse_args(arguments)
    if options.service == "demo":
        return demo_main.main(demo_main.demo_of(os.environ), once=options.once)
    try:
        service = _service(options)
        service.listen()
    except (OSError, Problem) as error:
        sys.stderr.write(f"sandbox: {_words_of(error, options)}\n")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=service.stop, daemon=True).start())
    sys.stdout.write(f"{service.title} ({service.name}) listens on {service.url}\n")
    sys.stdout.flush()
    service.serve()
    return 0


def _words_of(error: OSError | Problem, options: argparse.Namespace) -> str:
    """For the person at the terminal: mostly it is another `make run` that goes on."""
    if not isinstance(error, OSError) or error.errno != errno.EADDRINUSE:
        return str(error)
    return f"{options.host}:{options.port} is used by another program; stop it, or choose another --port"


def _service(options: argparse.Namespace) -> Service:
    place = {"host": options.host, "port": options.port, "data": options.data}
    if options.service == "shop":
        shop = ShopService(**place, token=options.token, client_id=options.client_id)
        if options.fault:
            shop.faults.add(options.fault)
        return shop
    return IdentityService(
        **place,
        token=options.token,
        hub=options.hub,
        signed_url=options.webhook_url,
        unsigned_url=options.unsigned_webhook_url,
        secret=options.signing_secret,
        mode=options.mode,
        language=options.language,
        automatic=True if options.automatic else None,
    )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description="Simulated systems with real HTTP."
    )
    services = parser.add_subparsers(dest="service", required=True)
    identity = services.add_parser("identity", help="users, groups and files; sends webhooks")
    shop = services.add_parser("shop", help="customers, segments and documents")
    for each, port in ((identity, "8101"), (shop, "8102")):
        name = "IDENTITY" if each is identity else "SHOP"
        each.add_argument("--host", default=environment.get("SANDBOX_HOST", "127.0.0.1"))
        each.add_argument(
            "--port", type=int, default=environment.get(f"SANDBOX_{name}_PORT", port), help="0: any free port"
        )
        each.add_argument(
            "--data",
            type=Path,
            default=environment.get("SANDBOX_DATA"),
            help="directory in which the records are stored",
        )
        token = environment.get(f"SANDBOX_{name}_TOKEN", f"{name.lower()}-token")
        each.add_argument("--token", default=token, help="secret of the API")
    shop.add_argument(
        "--client-id", default=environment.get("SANDBOX_SHOP_CLIENT_ID", "hub"), help="of OAuth2"
    )
    shop.add_argument(
        "--fault",
        default=environment.get("SHOP_FAULT"),
        help="fault that is active from the start, for example refuse",
    )
    _add_sender_options(identity, environment)
    demonstration = services.add_parser("demo", help="changes an e-mail address and prints each step")
    demonstration.add_argument(
        "--once", action="store_true", default=environment.get("ONCE", "") not in {"", "0"}, help="then exit"
    )
    return parser


def _add_sender_options(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    read = environment.get
    parser.add_argument("--hub", default=read("SANDBOX_HUB"), help="the hub's origin")
    parser.add_argument(
        "--webhook-url", default=read("SANDBOX_WEBHOOK_URL"), help="of the source with signatures"
    )
    parser.add_argument("--unsigned-webhook-url", default=read("SANDBOX_UNSIGNED_WEBHOOK_URL"))
    parser.add_argument(
        "--signing-secret", default=read("SANDBOX_SIGNING_SECRET"), help="whsec_ followed by base64"
    )
    parser.add_argument("--mode", choices=("signed", "unsigned"), default=read("SANDBOX_WEBHOOK_MODE"))
    parser.add_argument("--language", choices=("en", "fi"), default=read("SANDBOX_LANGUAGE"))
    parser.add_argument("--automatic", action="store_true", help="every API write sends a webhook")
