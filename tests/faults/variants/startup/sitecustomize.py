"""A module that every Python process with this folder on PYTHONPATH runs: it breaks the hub as HUB_MUTANT says.

A sitecustomize of the machine itself is hidden by this one, and is run after it.
"""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

from tests.faults.variants.mutants import install

install()

_other_folders = [
    folder for folder in sys.path if Path(folder or ".").resolve() != Path(__file__).resolve().parent
]
_hidden = importlib.machinery.PathFinder.find_spec("sitecustomize", _other_folders)
if _hidden is not None and _hidden.loader is not None:
    _hidden.loader.exec_module(importlib.util.module_from_spec(_hidden))
