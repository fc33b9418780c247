"""Tables: read and judged once, split by a stable rule, encoded fold by fold."""

from autoreg.data.load import load_table
from autoreg.data.preprocess import encode, fit_preprocessor
from autoreg.data.published import is_published
from autoreg.data.split import make_split, refold, sampled, stop_part

__all__ = [
    "encode",
    "fit_preprocessor",
    "is_published",
    "load_table",
    "make_split",
    "refold",
    "sampled",
    "stop_part",
]
