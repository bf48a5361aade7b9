"""A run on as many processes as torchrun starts; the first one writes the weights to the folder
given.
"""

import sys
from pathlib import Path

import torch
from accelerate import PartialState

from tests.training import small

state = PartialState(cpu=True)
h = small.h_transform(state.process_index)  # the copies start apart: they must meet
out = Path(sys.argv[1])
small.run(h, out=out, batch_size=8 // state.num_processes, accumulate=1)
torch.save(
    {"processes": torch.tensor(state.num_processes), **h.state_dict()},
    out / f"final-{state.process_index}.pt",
)
