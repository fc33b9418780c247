"""What a registered model needs to predict: preprocessing as data, fitted members, their blend.

A copy of this folder travels inside every registered model, so it imports nothing of autoreg but itself, only numpy,
pandas and, lazily, the winner's library. In-process prediction runs the same code.
"""

from .encoding import (
    NUMBER,
    TRUTH,
    Preprocessor,
    calendar,
    hashed,
    numbers,
    parse,
    spelled,
    text_of,
    texts,
)
from .images import block_of, pixel_names, pixels, spelled_shape
from .members import (
    MEMBERS,
    BoosterMember,
    LinearMember,
    Member,
    NetworkMember,
    booster_matrix,
    sigmoid,
    softmax,
    two_columns,
)
from .package import FORMAT, IMAGES, NEWEST, Chain, NewerFormatError, Package, sharpened, shifted
from .words import STEPS, weights, words_of

__all__ = [
    "FORMAT", "IMAGES", "MEMBERS", "NEWEST", "NUMBER", "STEPS", "TRUTH", "BoosterMember", "Chain", "LinearMember", "Member", "NetworkMember",
    "NewerFormatError", "Package", "Preprocessor", "block_of", "booster_matrix", "calendar", "hashed", "numbers", "parse", "pixel_names", "pixels",
    "sharpened", "shifted", "sigmoid", "softmax", "spelled", "spelled_shape", "text_of", "texts", "two_columns", "weights", "words_of",
]  # fmt: skip
