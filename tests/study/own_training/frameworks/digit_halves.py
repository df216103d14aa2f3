"""The data of the examples beside it: both halves of a handwritten digit, which is read off either."""

from functools import cache

import numpy as np
from sklearn.datasets import load_digits

PAIR = ("upper", "lower")


@cache  # a worker calls `train` many times, and reads the data once
def halves():
    """By split: the upper halves, the lower halves (rows, 4, 8) in [0, 1], and the digits."""
    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(images))  # the same split in every trial
    rows = {"train": order[:600], "valid": order[600:1200], "test": order[1200:]}
    return {split: (images[index, :4], images[index, 4:], digits.target[index]) for split, index in rows.items()}
