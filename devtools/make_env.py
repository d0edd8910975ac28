"""`python -m devtools.make_env`: write the `.env` of a developer's machine, with new keys."""

import base64
import os
import secrets
from pathlib import Path

TEMPLATE = """\
# Generated for this checkout. .env.example explains each variable.
DEBUG=on
SECOND_PERSON_HOURS=0
SECRET_KEY={secret_key}
SEALING_KEYS={sealing_key}
SEARCH_KEYS={search_key}
SANDBOX_IDENTITY_TOKEN={identity_token}
SANDBOX_SHOP_TOKEN={shop_token}
SANDBOX_SIGNING_SECRET=whsec_{signing_secret}
"""


def build_environment() -> str:
    """Return the text of `.env`, with new random values for all secrets."""
    return TEMPLATE.format(
        secret_key=secrets.token_urlsafe(50),
        sealing_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        search_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        identity_token=secrets.token_urlsafe(24),
        shop_token=secrets.token_urlsafe(24),
        signing_secret=base64.b64encode(secrets.token_bytes(32)).decode(),
    )


def main() -> None:
    """Write `.env` into the directory of `manage.py`, unless it exists."""
    path = Path(__file__).resolve().parents[1] / ".env"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(build_environment())
    print(f"Wrote {path.name} with new keys.")


if __name__ == "__main__":
    main()
