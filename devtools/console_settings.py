"""The settings of the console that `make run` starts: with the strip *Try* on its overview, in development only."""

from typing import Any

from devtools import settings as base
from devtools.settings import *  # noqa: F403

if base.DEBUG:
    ROOT_URLCONF = "devtools.try_strip.urls"
    _templates: dict[str, Any] = {**base.TEMPLATES[0]}
    # Before those of the console, whose overview they extend.
    _templates["DIRS"] = [base.BASE_DIR / "devtools" / "templates", *_templates["DIRS"]]
    TEMPLATES = [_templates, *base.TEMPLATES[1:]]
