"""A predictor over raw rows: weighted members behind their preprocessing, then temperature and threshold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .checks import check_listed, listing
from .encoding import Preprocessor
from .images import block_of, pixel_names, pixels
from .members import MEMBERS

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 2
IMAGES = 3
"""Format of packages over images, which code that knows only ``FORMAT`` would take for tables."""
NEWEST = max(FORMAT, IMAGES)
TINY = 1e-15
Matrix = NDArray[Any]
Chain = tuple[Preprocessor, Any, float]


class NewerFormatError(ValueError):
    """A package that a newer release wrote: there is nothing wrong with it, but this code cannot read it."""


def sharpened(p: Matrix, temperature: float) -> Matrix:
    """Probabilities (..., K) with their logits divided by a temperature (Guo et al. 2017): above 1 they get milder."""
    z = np.log(np.clip(p, TINY, 1.0)) / temperature
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def shifted(p: Matrix, threshold: float) -> Matrix:
    """Two-class probabilities (..., 2) stretched so that ``threshold`` for the second class becomes one half.

    The most probable class of the result is the label under that threshold.
    """
    second = p[..., 1]
    up = np.where(second < threshold, second / (2 * threshold), 1 - (1 - second) / (2 * (1 - threshold)))
    return np.stack([1 - up, up], axis=-1)


class Package:
    """A predictor over raw rows: the weighted mean of members, each behind its own preprocessing.

    Parameters
    ----------
    members : list of (Preprocessor, Member, float)
        The weights sum to 1. Members may share a preprocessor: it is stored and run once.
    task : str
    classes : tuple
        Labels in the order of the probabilities.
    columns : list of str
        Raw feature columns that must be present.
    temperature : float
        What the logits of the mean probabilities are divided by.
    threshold : float
        Two classes: the second is the label above this probability.
    image : tuple of int, or None
        The columns are the pixels of images of this shape, channels last, in C order.
    """

    def __init__(
        self,
        members: list[Chain],
        task: str,
        classes: Sequence[Any],
        columns: Sequence[str],
        temperature: float = 1.0,
        threshold: float = 0.5,
        image: Sequence[int] | None = None,
    ) -> None:
        self.members, self.task, self.classes, self.columns = members, task, tuple(classes), list(columns)
        self.temperature, self.threshold = temperature, threshold
        self.image = tuple(image) if image else None

    @property
    def tensor(self) -> bool:
        """Whether the images it was made from were no table: columns without names of their own."""
        return self.image is not None and self.columns == pixel_names(self.image)

    def predict_raw(self, frame: pd.DataFrame | Matrix) -> Matrix:
        """Class probabilities (n, K), or values (n,), for raw rows; columns may come in any order, their names as text.

        Images may come as an array (n, *image) or flat (n, pixels) with their raw values, too.

        Raises
        ------
        ValueError
            A feature column is missing or occurs twice, and the message names it; or images of another shape.
        """
        rows = self._block(frame) if isinstance(frame, np.ndarray) else self._table(frame)
        if not len(rows):
            return np.empty((0, len(self.classes)) if self.classes else 0)
        total = self._mean(rows)
        if self.temperature != 1.0 and self.task != "regression":
            total = sharpened(total, self.temperature)
        return total

    def _block(self, images: Matrix) -> Matrix:
        if self.image is None:
            raise ValueError("expected a table with column names, found an array: this is no model of images")
        return block_of(images, self.image)

    def _table(self, frame: pd.DataFrame) -> pd.DataFrame | Matrix:
        """The frame with checked names; pixels as a block."""
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
        counts = Counter(frame.columns)
        if missing := ", ".join(repr(c) for c in self.columns if not counts[c]):
            raise ValueError(f"missing column(s) {missing}: the model needs {len(self.columns)} columns")
        if twice := ", ".join(repr(c) for c in self.columns if counts[c] > 1):
            raise ValueError(f"column(s) {twice} given more than once: rename or remove the others")
        return frame if self.image is None else pixels(frame, self.columns)

    def _mean(self, frame: pd.DataFrame | Matrix) -> Matrix:
        """Weighted mean of the members; every preprocessing is done once and let go after its last member."""
        total: Matrix | None = None
        for preprocessor, members in self._shared():
            X = preprocessor.transform(frame)
            for member, weight in members:
                part = weight * member.predict(X)
                total = part if total is None else total + part
        if total is None:
            raise ValueError("the package holds no member")
        return total

    def _shared(self) -> list[tuple[Preprocessor, list[tuple[Any, float]]]]:
        """Members by the preprocessor they share, in order."""
        found: dict[int, tuple[Preprocessor, list[tuple[Any, float]]]] = {}
        for preprocessor, member, weight in self.members:
            found.setdefault(id(preprocessor), (preprocessor, []))[1].append((member, weight))
        return list(found.values())

    def decisive(self, raw: Matrix) -> Matrix:
        """``predict_raw``'s probabilities stretched so that the most probable class is the label that is predicted."""
        return shifted(raw, self.threshold) if self.task == "binary" and self.threshold != 0.5 else raw

    def predict(self, frame: pd.DataFrame | Matrix) -> pd.DataFrame:
        """Column ``prediction`` (label or value) and, for classes, ``probability_<class>`` for each of them."""
        import pandas as pd

        raw = self.predict_raw(frame)
        index = pd.RangeIndex(len(raw)) if isinstance(frame, np.ndarray) else frame.index
        if self.task == "regression":
            return pd.DataFrame({"prediction": raw}, index=index)
        labels = np.array(self.classes, dtype=object)[self.decisive(raw).argmax(axis=1)]
        out: dict[str, Any] = {"prediction": pd.Series(labels, index=index).infer_objects()}
        out |= {f"probability_{c}": raw[:, k] for k, c in enumerate(self.classes)}
        return pd.DataFrame(out, index=index)

    def save(self, folder: Path) -> None:
        """Write ``package.json``, one file a preprocessor and one folder a member. No pickle."""
        listed = []
        places = {id(preprocessor): i for i, (preprocessor, _) in enumerate(self._shared())}
        for preprocessor, _ in self._shared():
            text = json.dumps(preprocessor.state)
            (folder / f"preprocess_{places[id(preprocessor)]}.json").write_text(text, encoding="utf-8")
        for i, (preprocessor, member, weight) in enumerate(self.members):
            place = folder / f"member_{i}"
            place.mkdir(parents=True)
            meta = member.save(place)
            entry = {"kind": member.kind, "weight": weight, "meta": meta}
            listed.append(entry | {"preprocess": places[id(preprocessor)]})
        about = {"format": IMAGES if self.image else FORMAT, "task": self.task}
        about |= {"classes": list(self.classes), "columns": self.columns}
        about |= {"image": list(self.image)} if self.image else {}
        cut = {"temperature": self.temperature, "threshold": self.threshold}
        text = json.dumps({**about, **cut, "members": listed, "files": listing(folder)}, indent=1)
        (folder / "package.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> Package:
        """Read what ``save`` wrote; no code and no pickle in it is run. Older packages list no hashes.

        Raises
        ------
        NewerFormatError
            The package was written in a format that came after this code.
        ValueError
            It tells no format, or a file of it is not what was written.
        """
        folder = Path(folder)
        about = json.loads((folder / "package.json").read_text(encoding="utf-8"))
        written = about.get("format")
        if isinstance(written, int) and written > NEWEST:
            raise NewerFormatError(f"package format {written}, up to {NEWEST} can be read here")
        if written not in (FORMAT, IMAGES):
            raise ValueError(f"expected package format {FORMAT} or {IMAGES}, found {written!r:.40}")
        if "files" in about:
            needed = [f"preprocess_{int(entry['preprocess'])}.json" for entry in about["members"]]
            needed += [f"member_{i}/{MEMBERS[e['kind']].file}" for i, e in enumerate(about["members"])]
            check_listed(folder, about["files"], needed)
        preprocessors: dict[int, Preprocessor] = {}
        members = []
        for i, entry in enumerate(about["members"]):
            place = int(entry["preprocess"])
            if place not in preprocessors:
                state = json.loads((folder / f"preprocess_{place}.json").read_text(encoding="utf-8"))
                preprocessors[place] = Preprocessor(state)
            member = MEMBERS[entry["kind"]].load(folder / f"member_{i}", entry["meta"])
            members.append((preprocessors[place], member, float(entry["weight"])))
        cut = float(about["temperature"]), float(about["threshold"])
        return cls(members, about["task"], about["classes"], about["columns"], *cut, about.get("image"))
