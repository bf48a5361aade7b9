"""What computes a comparison of methods: `evaluate` fills a run folder; `deft.reports` shows it.

Nothing here draws or writes a page.
"""

from deft.studies.evaluation import evaluate
from deft.studies.kept import read_results
from deft.studies.method import Method

__all__ = ["Method", "evaluate", "read_results"]
