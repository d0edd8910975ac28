"""`python -m devtools seed_sandbox`: connect the hub to the sandbox, and create one login for each group."""

import base64
import os
import secrets
import time
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from audit.entries.append import NewEntry, append_entries
from devtools.sandbox_setup import SandboxSystems, seed_configuration
from logins.given_passwords import mark_given_password

LOGINS = ("support", "auditor", "administrator")


class Command(BaseCommand):
    help = "Connect the hub to the sandbox systems, and create three user accounts on the first run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--logins", type=Path, default=settings.WORKING_DIR / "var" / "logins.txt")
        parser.add_argument(
            "--allow-demo-logins",
            action="store_true",
            help="also with DEBUG off: adds an administrator and two more logins whose passwords are printed and "
            "written to a file, and routes that send real events to the sandbox",
        )

        parser.add_argument(
            "--only-logins", action="store_true", help="create the user accounts and connect nothing"
        )
        parser.add_argument(
            "--stories",
            action="store_true",
            help="if the hub has no event yet, let three days of stories happen, while the sandbox does not run",
        )
        parser.add_argument(
            "--data",
            type=Path,
            default=settings.WORKING_DIR / "var" / "sandbox",
            help="directory in which the sandbox stores its records",
        )

    def handle(
        self,
        *,
        logins: Path,
        allow_demo_logins: bool,
        only_logins: bool,
        stories: bool,
        data: Path,
        **_: Any,
    ) -> None:
        if not settings.DEBUG and not allow_demo_logins:
            raise CommandError(
                "DEBUG is off, so this may be production: seed_sandbox adds demo logins, an administrator among them, "
                "and routes to the sandbox. Nothing was changed. If you want that here, add --allow-demo-logins."
            )
        if only_logins:
            self._create_logins(logins)
        elif not (stories and settings.DEBUG and self._seed_stories(logins, data)):
            seed_configuration(_read_systems())
            self._create_logins(logins)
        if only_logins:
            address = f"http://127.0.0.1:{os.environ.get('HUB_PORT', '8000')}/admin/"
            self.stdout.write(
                f"The hub is not connected to any system. The console: {address}\n"
                "Connect systems, in its menu, attaches two; docs/connect.md does it with real ones."
            )
        else:
            self.stdout.write("The hub is connected to the sandbox systems.")

    def _seed_stories(self, logins: Path, data: Path) -> bool:
        """Connect the hub and create the accounts as if that were three days ago, then let the stories happen. Returns
        False, and does nothing, if the hub has been used.
        """
        # Imported here: only the first start needs them.
        from devtools.stories.moved_clock import moved_clock
        from devtools.stories.seed import may_seed, seed_stories

        if not may_seed():
            return False
        began, systems = time.monotonic(), _read_systems()
        first_secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
        with moved_clock() as clock:
            clock.set_back(days=3, minutes=30)
            first = replace(systems, signing_secret=first_secret)
            seed_configuration(first)
            self._create_logins(logins)
            line = seed_stories(clock, first, data, systems.signing_secret)
        self.stdout.write(f"{line} It took {time.monotonic() - began:.1f} s.")
        return True

    def _create_logins(self, logins: Path) -> None:
        new_logins = [line for name in LOGINS if (line := self._create_login(name))]
        if new_logins:
            logins.parent.mkdir(parents=True, exist_ok=True)
            logins.touch(mode=0o600)
            logins.write_text("\n".join(new_logins) + "\n")
            self.stdout.write("New user accounts for the console:\n  " + "\n  ".join(new_logins))

    @transaction.atomic
    def _create_login(self, name: str) -> str:
        """Create the login of a group. Returns `name  password`, or an empty text if the login exists."""
        users = get_user_model().objects
        if users.filter(username=name).exists():
            return ""
        password = secrets.token_urlsafe(12)
        user: Any = users.create_user(name, password=password, is_staff=True)
        user.groups.add(Group.objects.get(name=name))
        # On a developer's machine the printed passwords are used as they are.
        if not settings.DEBUG:
            mark_given_password(user)
        append_entries(NewEntry(f"person:{user.pk}", "person.created", details={"groups": [name]}))
        return f"{name:14} {password}"


def _read_systems() -> SandboxSystems:
    """Return the sandbox systems that the environment names."""
    return SandboxSystems(
        identity_url=f"http://127.0.0.1:{os.environ.get('SANDBOX_IDENTITY_PORT', '8101')}",
        identity_token=os.environ["SANDBOX_IDENTITY_TOKEN"],
        shop_url=f"http://127.0.0.1:{os.environ.get('SANDBOX_SHOP_PORT', '8102')}",
        shop_token=os.environ["SANDBOX_SHOP_TOKEN"],
        signing_secret=os.environ["SANDBOX_SIGNING_SECRET"],
    )
