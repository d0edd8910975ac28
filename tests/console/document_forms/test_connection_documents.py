"""The documents of a connection are edited with controls, without scripts: nothing is lost and nothing is echoed."""

import json
from html.parser import HTMLParser
from typing import Any
