"""Collect the results of `benchmarks/quality.py` into Markdown tables, and keep their JSON beside this file.

python benchmarks/tables.py runs/quality-digits --keep benchmarks/results/quality-digits > tables.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deft.reports.evaluation import read_results
from deft.reports.table import difference_table, results_table


def main() -> None:
    """Print the tables of every problem in a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", type=Path, help="copy the JSON files here")
    args = parser.parse_args()
    for path in sorted(args.folder.glob("*/results.json")):
        results = read_results(path.parent)
        name = path.parent.name
        print(f"### {name}\n")
        print(results_table(results).markdown())
        print(f"\nDifferences to {results['reference']}, image by image:\n")
        print(difference_table(results).markdown())
        print()
        if args.keep:
            args.keep.mkdir(parents=True, exist_ok=True)
            (args.keep / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
