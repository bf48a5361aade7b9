"""From methods to a page: `evaluate` fills a run folder, `write_report` turns it into one HTML
file.
"""

from deft.reports.evaluation import evaluate
from deft.reports.kept import read_results
from deft.reports.method import Method
from deft.reports.page import write_report

__all__ = ["Method", "evaluate", "read_results", "write_report"]
