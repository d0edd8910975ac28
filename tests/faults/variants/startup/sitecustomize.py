"""Run by every Python process that has this folder on its PYTHONPATH: breaks the hub as HUB_MUTANT says.

A sitecustomize of the machine itself is hidden by this one, and is run after it.
"""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

from tests.faults.variants.mutants import install

install()

_elsewhere = [each for each in sys.path if Path(each or ".").resolve() != Path(__file__).resolve().parent]
_hidden = importlib.machinery.PathFinder.find_spec("sitecustomize", _elsewhere)
if _hidden is not None and _hidden.loader is not None:
    _hidden.loader.exec_module(importlib.util.module_from_spec(_hidden))
