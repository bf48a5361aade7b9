"""`python -m tests.matrix --write` puts the table into docs/methods.md; without `--write` it is
printed.
"""

import sys

from tests.matrix import table

if "--write" in sys.argv[1:]:
    table.write()
else:
    print(table.made())
