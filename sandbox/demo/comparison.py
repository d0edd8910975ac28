"""A change that no webhook reports, found and made equal by the hub's own command."""

import random
import subprocess
from collections.abc import Callable

from sandbox.demo.client import DemoError
from sandbox.demo.walkthrough import PERSON_ID, DemoSystems, fetch_shop_record

PrintLine = Callable[[str], None]


def show_comparison(demo: DemoSystems, print_line: PrintLine) -> bool:
    """Change the person's record in the shop behind the hub's back, run ``demo.comparison`` and print its lines.

    The command gets the person's id as its last argument. It compares the person in both systems and makes the record
    equal. Returns True if its exit status is 0. Raises DemoError if the shop does not answer as its API says.
    """
    record = fetch_shop_record(demo)
    if record is None:
        raise DemoError(f"The shop has no record of {PERSON_ID}.")
    phone = f"+35850{random.randrange(10**6, 10**7)}"
    demo.shop.call_api("PATCH", f"/api/customers/{record['id']}", {"phone": phone})
    print_line(f"5. Changed in the shop, and nobody told the hub: phone of customer {record['id']}")
    with subprocess.Popen([*demo.comparison, PERSON_ID], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - as `make run` says
        assert process.stdout is not None
        for line in process.stdout:
            print_line(line.rstrip())
    return process.returncode == 0
