"""What earlier versions did not record is not compared: `deft.storage.claims`, under its earlier name."""

from deft.storage.claims import as_recorded as as_recorded
