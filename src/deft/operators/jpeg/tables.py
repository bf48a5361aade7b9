"""The quantisation tables of JPEG, and what a quality factor makes of them.

ITU-T T.81 | ISO/IEC 10918-1, annex K, tables K.1 (luminance) and K.2 (chrominance). A quality from
1 to 100 scales them as the reference encoder of the Independent JPEG Group does,

    q = clip(floor((table * scale + 50) / 100), 1, 255)
    scale = 5000 // quality below 50,    200 - 2 quality from 50 on
"""

from __future__ import annotations

import torch
from torch import Tensor

_LUMINANCE = """
16 11 10 16 24 40 51 61
12 12 14 19 26 58 60 55
14 13 16 24 40 57 69 56
14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77
24 35 55 64 81 104 113 92
49 64 78 87 103 121 120 101
72 92 95 98 112 100 103 99
"""
_CHROMINANCE = """
17 18 24 47 99 99 99 99
18 21 26 66 99 99 99 99
24 26 56 99 99 99 99 99
47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99
99 99 99 99 99 99 99 99
99 99 99 99 99 99 99 99
99 99 99 99 99 99 99 99
"""


def table(quality: int, *, chrominance: bool = False) -> Tensor:
    """The steps of quantisation at a quality, (8, 8), vertical frequency first; whole numbers in
    grey levels of 255.
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    base = _CHROMINANCE if chrominance else _LUMINANCE
    entries = [min(max((int(n) * scale + 50) // 100, 1), 255) for n in base.split()]
    return torch.tensor(entries, dtype=torch.float64).reshape(8, 8)
