"""Designs of protein backbones, shown: a table, drawings, a viewer, contact maps, a page."""

from deft.reports.protein.page import Drawn, write_page
from deft.reports.protein.table import designs_table, printed

__all__ = ["Drawn", "designs_table", "printed", "write_page"]
