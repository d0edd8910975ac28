"""The command line: ``python -m sandbox`` with ``identity``, ``shop`` or ``demo``."""

import argparse
import errno
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox.base.service import SandboxService
from sandbox.demo import main as demo_main
from sandbox.http.messages import HttpError
from sandbox.identity import IdentityService
from sandbox.shop import ShopService


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM and return 0; return 2 if a setting is invalid or the address is in use.

    ``demo`` does not serve; its exit code is that of ``sandbox.demo.main.main``.
    """
    options = _build_parser(os.environ).parse_args(arguments)
    if options.service == "demo":
        return demo_main.main(demo_main.load_demo(os.environ), once=options.once)
    try:
        service = _build_service(options)
        service.listen()
    except (OSError, HttpError) as error:
        sys.stderr.write(f"sandbox: {_describe_start_error(error, options)}\n")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        # `stop` waits for the end of `serve`, which a signal's handler only interrupts: hence the thread.
        signal.signal(number, lambda *_: threading.Thread(target=service.stop, daemon=True).start())
    sys.stdout.write(f"{service.title} ({service.name}) listens on {service.url}\n")
    sys.stdout.flush()
    service.serve()
    return 0


def _describe_start_error(error: OSError | HttpError, options: argparse.Namespace) -> str:
    """Return a message for an error at the start. An address in use is mostly that of another `make run`."""
    if not isinstance(error, OSError) or error.errno != errno.EADDRINUSE:
        return str(error)
    variable = f"SANDBOX_{options.service.upper()}_PORT"
    return f"{options.host}:{options.port} is used by another program; stop it, or set {variable} (or --port)"


def _build_service(options: argparse.Namespace) -> SandboxService:
    common_options = {"host": options.host, "port": options.port, "data": options.data}
    if options.service == "shop":
        shop = ShopService(**common_options, token=options.token, client_id=options.client_id)
        if options.fault:
            shop.faults.add(options.fault)
        return shop
    return IdentityService(
        **common_options,
        token=options.token,
        hub=options.hub,
        signed_url=options.webhook_url,
        unsigned_url=options.unsigned_webhook_url,
        secret=options.signing_secret,
        mode=options.mode,
        language=options.language,
        automatic=True if options.automatic else None,
    )


def _build_parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description="Simulated systems with real HTTP."
    )
    services = parser.add_subparsers(dest="service", required=True)
    identity = services.add_parser("identity", help="users, groups and files; sends webhooks")
    shop = services.add_parser("shop", help="customers, segments and documents")
    for service_parser, port in ((identity, "8101"), (shop, "8102")):
        name = "IDENTITY" if service_parser is identity else "SHOP"
        service_parser.add_argument("--host", default=environment.get("SANDBOX_HOST", "127.0.0.1"))
        service_parser.add_argument(
            "--port", type=int, default=environment.get(f"SANDBOX_{name}_PORT", port), help="0: any free port"
        )
        service_parser.add_argument(
            "--data",
            type=Path,
            default=environment.get("SANDBOX_DATA"),
            help="directory in which the records are stored",
        )
        token = environment.get(f"SANDBOX_{name}_TOKEN", f"{name.lower()}-token")
        service_parser.add_argument("--token", default=token, help="secret of the API")
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
    read_variable = environment.get
    parser.add_argument("--hub", default=read_variable("SANDBOX_HUB"), help="the hub's origin")
    parser.add_argument(
        "--webhook-url", default=read_variable("SANDBOX_WEBHOOK_URL"), help="of the source with signatures"
    )
    parser.add_argument("--unsigned-webhook-url", default=read_variable("SANDBOX_UNSIGNED_WEBHOOK_URL"))
    parser.add_argument(
        "--signing-secret", default=read_variable("SANDBOX_SIGNING_SECRET"), help="whsec_ followed by base64"
    )
    parser.add_argument(
        "--mode", choices=("signed", "unsigned"), default=read_variable("SANDBOX_WEBHOOK_MODE")
    )
    parser.add_argument("--language", choices=("en", "fi"), default=read_variable("SANDBOX_LANGUAGE"))
    parser.add_argument("--automatic", action="store_true", help="every API write sends a webhook")
