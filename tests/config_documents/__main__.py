"""Print how many wrong documents the published JSON Schemas refuse, and which they accept.

    python -m tests.config_documents [--number 10000] [--seed 1] [--only settings-rest-target]

Documents that the hub accepts (presets, mappings, examples) are made wrong by one change each; those that the reader
refuses are tried with their JSON Schema.
"""

import argparse
import os
from importlib import import_module

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.support.settings"
import_module("tests.support.environment")  # before the settings, which read it

from django import setup  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.config_documents", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--number", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    setup()
    from tests.config_documents.schema_coverage import measure

    coverage = measure(arguments.number, arguments.seed, arguments.only)
    print(f"{coverage.made} documents with one change each; the reader refuses {coverage.refused}.")
    print(f"The JSON Schema alone refuses {len(coverage.wrongly_refused)}.")
    print(
        f"Of these the JSON Schema refuses {coverage.refused_by_schema}: {coverage.per_cent:.1f} %. It accepts:"
    )
    for accepted, count in coverage.accepted.most_common():
        print(f"{count:5}  {accepted.name}: {accepted.change}: {accepted.setting}: {accepted.sentence}")


if __name__ == "__main__":
    main()
