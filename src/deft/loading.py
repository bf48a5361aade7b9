"""`deft.load`: a pipeline from one name (deft.pipeline.pipeline)."""

from __future__ import annotations

from deft.pipeline.pipeline import DeftPipeline

Loaded = DeftPipeline
"""What `deft.load` returns, by its former name."""

load = DeftPipeline.from_pretrained
