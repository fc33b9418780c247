"""Images made small enough to compare: the brightness of some patches instead of every pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from autoreg.data.pixels import PATCHES, patches, strips
from autoreg.trial import Table


def reduced(table: Table) -> Table:
    """A table of images with at most 64 patches and some measures of the whole image as features; others unchanged.

    A single pixel says little, and thousands of tests, one a pixel, would find nothing after their correction. The
    features are the mean of every patch, ``brightness`` (mean of the image), ``contrast`` (its standard deviation) and
    the mean of every channel where there are several.
    """
    if table.image is None:
        return table
    block, channels = table.features.to_numpy(), table.image[-1]
    found = {
        name: block[:, where].mean(axis=1, dtype=np.float64)
        for name, where in patches(table.image, PATCHES).items()
    }
    found["brightness"] = block.mean(axis=1, dtype=np.float64)
    found["contrast"] = np.concatenate([block[rows].std(axis=1, dtype=np.float64) for rows in strips(block)])
    for c in range(channels if channels > 1 else 0):
        found[f"channel {c}"] = block[:, c::channels].mean(axis=1, dtype=np.float64)
    return replace(table, features=pd.DataFrame(found), kinds=dict.fromkeys(found, "numeric"), image=None)
