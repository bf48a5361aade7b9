"""What shows a study: `write_report` turns a run folder of `deft.studies.evaluate` into one HTML
page; tables, figures and charts can be had alone.
"""

from deft.reports.page import write_report

__all__ = ["write_report"]
