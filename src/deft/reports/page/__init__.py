"""One self-contained HTML page from a run folder: no external file, no script.

It can be mailed, opened from a disk and read in ten years: pictures are inside as PNG, charts as
SVG, the style sheet as text.

`words` makes texts, `html` makes markup; `origin`, `numbers`, `samples` and `training` are the
sections; `page` joins them and has the entry points.
"""

from deft.reports.page.page import style_sheet, write_report

__all__ = ["style_sheet", "write_report"]
