"""Hard tables with a reference solution for each: certified figures, closed forms, Newton's method, tight library solvers.

A case gives two arrays, ours and the reference, and the largest difference between them that is allowed;
``benchmarks/numerics.py`` prints all differences.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from backend_data import fit
from scipy.linalg import LinAlgWarning
from sklearn.linear_model import ElasticNet, LogisticRegression

from autoreg.backends import get_backend
from autoreg.backends.common import calm_algebra
from autoreg.trial import Encoded, Part

CASES: dict[str, "Case"] = {}
SHARED = Path(os.environ.get("AUTOREG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
GENES = SHARED / "colon_alon.csv"


@dataclass(frozen=True)
class Case:
    """One hard table.

    Attributes
    ----------
    name, against : str
        What is hard about it, and what solves it independently.
    bound : float
        The largest difference allowed.
    solve : callable
        Gives our values and those of the reference.
    file : Path or None
        What it reads, where that is not made here.
    """

    name: str
    against: str
    bound: float
    solve: Callable[[], tuple[Any, Any]]
    file: Path | None = None

    def difference(self) -> float:
        """The largest difference between our values and the reference's."""
        with calm_algebra():  # threads that spin for small products would take most of the time
            ours, reference = (np.asarray(found, np.float64) for found in self.solve())
        assert ours.shape == reference.shape
        assert np.isfinite(ours).all()
        return float(np.abs(ours - reference).max())


def case(name: str, against: str, bound: float, file: Path | None = None) -> Any:
    def keep(solve: Callable[[], tuple[Any, Any]]) -> Any:
        assert name not in CASES, f"two cases are named {name}"
        CASES[name] = Case(name, against, bound, solve, file)
        return solve

    return keep


# --- fits and references ------------------------------------------------------------------------------------------


def single(X: Any) -> Any:
    """The numbers that both sides see: backends get single precision."""
    return np.asarray(X, np.float32).astype(np.float64)


def ours(X: Any, y: Any, classes: int = 0, backend: str = "sklearn", weight: Any = None, **given: Any) -> Any:
    """The backend's fit on all rows."""
    task = "multiclass" if classes > 2 else "binary" if classes else "regression"
    columns = tuple(f"c{i}" for i in range(X.shape[1]))
    part = Part(np.asarray(X, np.float32), y, weight)
    data = Encoded(part, None, None, columns, (0,) * len(columns), task, classes)
    done = fit(get_backend(backend), data, **given)
    assert hasattr(done, "member"), done
    return done


def predicted(X: Any, y: Any, classes: int = 0, **given: Any) -> Any:
    """Its predictions of the rows it was fitted on; of two classes the second."""
    found = ours(X, y, classes, **given).member.predict(np.asarray(X, np.float32))
    return found[:, 1] if classes == 2 else found


def ridge(X: Any, y: Any, alpha: float, weight: Any = None) -> Any:
    """Fitted values of the ridge by a singular value decomposition; at ``alpha`` 0 the least squares of least norm."""
    w = np.ones(len(y)) if weight is None else weight
    centre, middle = np.average(X, axis=0, weights=w), np.average(y, weights=w)
    root = np.sqrt(w)[:, None]
    U, s, V = np.linalg.svd(root * (X - centre), full_matrices=False)
    s = np.where(s > 1e-13 * s[0], s, 0.0)
    inverse = np.divide(s, s**2 + alpha * w.sum(), out=np.zeros_like(s), where=s > 0)
    return (X - centre) @ (V.T @ (inverse * (U.T @ (root[:, 0] * (y - middle))))) + middle


def newton(X: Any, y: Any, l2: float = 0.0, weight: Any = None) -> Any:
    """Probabilities of the penalized logistic regression of two classes, by Newton's method to the last digits.

    Columns are rotated to their singular directions first, which changes neither the penalty nor the solution; so there
    are never more of them than rows, and those without any variance are left out.
    """
    w = np.ones(len(y)) if weight is None else weight
    w = w / w.sum()
    centre = X.mean(axis=0)
    U, s, _ = np.linalg.svd(X - centre, full_matrices=False)
    kept = s > 1e-10 * s[0]
    Z = np.column_stack([U[:, kept] * s[kept], np.ones(len(y))])
    shrink = np.append(np.full(int(kept.sum()), l2), 0.0)

    def objective(v: Any) -> float:
        scores = Z @ v
        return float(w @ (np.logaddexp(0, scores) - y * scores) + shrink @ v**2 / 2)

    v, near = np.zeros(Z.shape[1]), 1e-13 * np.abs(Z).max()
    for _ in range(50):
        p = 1 / (1 + np.exp(-Z @ v))
        slope = Z.T @ (w * (p - y)) + shrink * v
        step = np.linalg.solve((Z * (w * p * (1 - p))[:, None]).T @ Z + np.diag(shrink), slope)
        if np.abs(slope).max() < near:
            break
        t = 1.0
        while t > 1e-10 and objective(v - t * step) > objective(v) + 1e-14:
            t /= 2
        v = v - t * step
    assert np.abs(slope).max() < 10 * near
    return 1 / (1 + np.exp(-Z @ v))


def proximal(X: Any, y: Any, l1: float, l2: float) -> Any:
    """Probabilities of the logistic elastic net of two classes by accelerated proximal steps (Beck & Teboulle 2009)."""
    n, p = X.shape
    Z = np.column_stack([X, np.ones(n)])
    step = 1 / (np.linalg.norm(Z, 2) ** 2 / (4 * n) + l2)
    v, ahead, momentum = np.zeros(p + 1), np.zeros(p + 1), 1.0
    for _ in range(40_000):
        slope = Z.T @ (1 / (1 + np.exp(-Z @ ahead)) - y) / n
        slope[:p] += l2 * ahead[:p]
        moved = ahead - step * slope
        moved[:p] = np.sign(moved[:p]) * np.maximum(np.abs(moved[:p]) - step * l1, 0)
        if (ahead - moved) @ (
            moved - v
        ) > 0:  # past the minimum: start the run-up anew (O'Donoghue & Candes 2015)
            momentum = 1.0
        further = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        if np.abs(moved - v).max() < 1e-12:
            break
        ahead, v, momentum = moved + (momentum - 1) / further * (moved - v), moved, further
    return 1 / (1 + np.exp(-Z @ v))


def table(n: int, p: int, seed: int = 0) -> tuple[Any, Any]:
    """Correlated columns, and a signal in them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) @ (np.eye(p) + 0.3 * rng.normal(size=(p, p)))
    return single(X), X[:, 0] - X[:, 1] + 0.5 * rng.normal(size=n)


def spread(found: Any, reference: Any, y: Any) -> tuple[Any, Any]:
    """Both in standard deviations of the target."""
    return found / np.std(y), reference / np.std(y)


# --- collinear columns, and columns without any variance ----------------------------------------------------------

LONGLEY = np.array([
    [60323, 83.0, 234289, 2356, 1590, 107608, 1947], [61122, 88.5, 259426, 2325, 1456, 108632, 1948],
    [60171, 88.2, 258054, 3682, 1616, 109773, 1949], [61187, 89.5, 284599, 3351, 1650, 110929, 1950],
    [63221, 96.2, 328975, 2099, 3099, 112075, 1951], [63639, 98.1, 346999, 1932, 3594, 113270, 1952],
    [64989, 99.0, 365385, 1870, 3547, 115094, 1953], [63761, 100.0, 363112, 3578, 3350, 116219, 1954],
    [66019, 101.2, 397469, 2904, 3048, 117388, 1955], [67857, 104.6, 419180, 2822, 2857, 118734, 1956],
    [68169, 108.4, 442769, 2936, 2798, 120445, 1957], [66513, 110.8, 444546, 4681, 2637, 121950, 1958],
    [68655, 112.6, 482704, 3813, 2552, 123366, 1959], [69564, 114.2, 502601, 3931, 2514, 125368, 1960],
    [69331, 115.7, 518173, 4806, 2572, 127852, 1961], [70551, 116.9, 554894, 4007, 2827, 130081, 1962],
])  # fmt: skip
"""Employment in the USA and six nearly collinear columns (Longley 1967; NIST StRD)."""
CERTIFIED = np.array([
    15.0618722713733, -0.0358191792925910, -2.02022980381683, -1.03322686717359, -0.0511041056535807, 1829.15146461355,
])  # fmt: skip
"""NIST's certified coefficients; its constant is -3482258.63459582."""


@case("Longley's collinear columns, raw", "NIST's certified coefficients", 1e-9)
def longley_raw() -> tuple[Any, Any]:
    X = LONGLEY[:, 1:] * [10, 1, 1, 1, 1, 1]  # prices in tenths: whole numbers are exact in single precision
    found = ours(X, LONGLEY[:, 0], penalty="none")
    assert abs(found.member.intercept[0] / -3482258.63459582 - 1) < 1e-7
    return found.member.coef[:, 0] * [10, 1, 1, 1, 1, 1] / CERTIFIED, np.ones(6)


@case("Longley's collinear columns, standardised", "NIST's certified fit", 1e-5)
def longley_standardised() -> tuple[Any, Any]:
    X, y = LONGLEY[:, 1:], LONGLEY[:, 0]
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    return spread(predicted(Z, y, penalty="none"), X @ CERTIFIED - 3482258.63459582, y)


@case("copies and sums of columns, ridge", "singular values", 1e-6)
def copies_ridge() -> tuple[Any, Any]:
    X, y = table(200, 5)
    X = single(np.column_stack([X, X[:, 0], X[:, :3].sum(axis=1)]))
    pairs = [(predicted(X, y, penalty="l2", alpha=a), ridge(X, y, a)) for a in (1e-12, 1e-9, 1e-6, 1e-3, 1.0)]
    return spread(*map(np.concatenate, zip(*pairs, strict=True)), y)


@case("copies and sums of columns, no penalty", "least squares of least norm", 1e-6)
def copies_plain() -> tuple[Any, Any]:
    X, y = table(200, 5)
    X = single(np.column_stack([X, X[:, 0], 2 * X[:, 1]]))
    return spread(predicted(X, y, penalty="none"), ridge(X, y, 0.0), y)


@case("copies and sums of columns, two classes", "Newton's method", 1e-4)
def copies_classes() -> tuple[Any, Any]:
    X, signal = table(300, 5)
    X, y = single(np.column_stack([X, X[:, 0], X[:, :3].sum(axis=1)])), (signal > 0).astype(np.int64)
    pairs = [(predicted(X, y, 2, penalty="l2", alpha=a), newton(X, y, a)) for a in (1e-3, 0.1, 10.0)]
    return tuple(map(np.concatenate, zip(*pairs, strict=True)))


@case("constant columns, four penalties", "the fit without them", 1e-6)
def constant_columns() -> tuple[Any, Any]:
    X, y = table(200, 4)
    more = np.column_stack([X, np.zeros(200), np.full(200, 3.0)])
    kinds = ("none", "l2", "l1", "elasticnet")
    given = [{"penalty": kind, "alpha": 0.01, "l1_ratio": 0.5} for kind in kinds]
    return spread(
        np.concatenate([predicted(more, y, **g) for g in given]),
        np.concatenate([predicted(X, y, **g) for g in given]),
        y,
    )


# --- scales -------------------------------------------------------------------------------------------------------


@case("columns from 1e-6 to 1e6, ridge", "singular values", 1e-6)
def scales_ridge() -> tuple[Any, Any]:
    X, y = table(200, 5)
    X = single(X * np.array([1e-6, 1e-3, 1.0, 1e3, 1e6]))
    pairs = [(predicted(X, y, penalty="l2", alpha=a), ridge(X, y, a)) for a in (1e-9, 1e-3, 1.0)]
    return spread(*map(np.concatenate, zip(*pairs, strict=True)), y)


@case("columns from 1e-3 to 1e3, two classes", "Newton's method", 1e-6)
def scales_classes() -> tuple[Any, Any]:
    X, signal = table(300, 5)
    X, y = single(X * np.array([1e-3, 0.1, 1.0, 10.0, 1e3])), (signal > 0).astype(np.int64)
    return predicted(X, y, 2, penalty="l2", alpha=1e-3), newton(X, y, 1e-3)


@case("targets around 1e15 and 1e-15", "the same in plain units", 1e-9)
def target_units() -> tuple[Any, Any]:
    X, y = table(200, 5)
    units, given = (1e15, 1e-15), {"penalty": "elasticnet", "alpha": 0.01, "l1_ratio": 0.5}
    plain = predicted(X, y, **given)
    return spread(
        np.concatenate([predicted(X, y * unit, **given) / unit for unit in units]), np.tile(plain, 2), y
    )


@case("weights from 1e-6 to 1e6", "weighted singular values", 1e-6)
def weights() -> tuple[Any, Any]:
    X, y = table(300, 5)
    weight = 10.0 ** np.random.default_rng(1).uniform(-6, 6, 300)
    return spread(predicted(X, y, weight=weight, alpha=0.01, penalty="l2"), ridge(X, y, 0.01, weight), y)


@case("targets with outliers of 1e6 deviations", "singular values", 1e-6)
def outliers() -> tuple[Any, Any]:
    X, plain = table(200, 5)
    y = plain.copy()
    y[[3, 77]] = 1e6, -1e7
    return spread(predicted(X, y, alpha=0.1, penalty="l2"), ridge(X, y, 0.1), plain)


# --- classes ------------------------------------------------------------------------------------------------------


def rare(n: int = 20_000) -> tuple[Any, Any]:
    """Two classes, one row in a thousand of the second."""
    X, signal = table(n, 4)
    return X, (signal >= np.sort(signal)[-n // 1000]).astype(np.int64)


def noisy(X: Any, y: Any) -> Any:
    """The same number of rows of the second class, half of them anywhere, so that no line parts them."""
    found = np.flatnonzero(y)
    out = y.copy()
    (
        out[found[::2]],
        out[np.random.default_rng(2).choice(np.flatnonzero(y == 0), len(found[::2]), replace=False)],
    ) = 0, 1
    return out


@case("1 : 1,000, no penalty", "Newton's method", 1e-4)
def rare_plain() -> tuple[Any, Any]:
    X, y = rare()
    y = noisy(X, y)
    return predicted(X, y, 2, penalty="none"), newton(X, y)


@case("1 : 1,000, ridge", "Newton's method", 1e-3)
def rare_ridge() -> tuple[Any, Any]:
    X, y = rare()
    pairs = [(predicted(X, y, 2, penalty="l2", alpha=a), newton(X, y, a)) for a in (1e-5, 1e-3, 0.1)]
    return tuple(map(np.concatenate, zip(*pairs, strict=True)))


@case("1 : 1,000, elastic net", "proximal steps", 1e-3)
def rare_net() -> tuple[Any, Any]:
    X, y = rare(5000)
    found = predicted(X, y, 2, penalty="elasticnet", alpha=1e-3, l1_ratio=0.5)
    return found, proximal(X, y, 5e-4, 5e-4)


@case("100 classes, ridge", "scikit-learn's newton-cholesky, tolerance 1e-8", 5e-3)
def hundred_classes() -> tuple[Any, Any]:
    X, y = hundred()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", LinAlgWarning
        )  # free intercepts leave one direction without curvature
        reference = LogisticRegression(C=1 / (1e-3 * len(y)), solver="newton-cholesky", tol=1e-8).fit(X, y)
    return predicted(X, y, 100, penalty="l2", alpha=1e-3), reference.predict_proba(X)


def hundred() -> tuple[Any, Any]:
    """A hundred classes of ten rows around centres of their own."""
    rng = np.random.default_rng(3)
    y = np.repeat(np.arange(100), 10)
    return single(2 * rng.normal(size=(100, 4))[y] + rng.normal(size=(len(y), 4))), y


@case("separable classes, penalty of 1e-6", "Newton's method", 1e-3)
def separable_ridge() -> tuple[Any, Any]:
    X, _ = table(200, 3)
    y = (X[:, 0] - X[:, 2] > 0).astype(np.int64)
    return predicted(X, y, 2, penalty="l2", alpha=1e-6), newton(X, y, 1e-6)


# --- more columns than rows ---------------------------------------------------------------------------------------


def genes() -> tuple[Any, Any]:
    """62 tissues, 2,000 standardised genes, normal or tumour (Alon et al. 1999)."""
    found = pd.read_csv(GENES)
    X = np.log(found.drop(columns="y").to_numpy())
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return single(X), (found["y"] == "t").to_numpy().astype(np.int64)


@case("62 rows x 2,000 genes, ridge", "Newton's method", 1e-3, GENES)
def genes_ridge() -> tuple[Any, Any]:
    X, y = genes()
    pairs = [(predicted(X, y, 2, penalty="l2", alpha=a), newton(X, y, a)) for a in (0.1, 10.0, 1000.0)]
    return tuple(map(np.concatenate, zip(*pairs, strict=True)))


@case("62 rows x 2,000 genes, lasso", "proximal steps", 1e-3, GENES)
def genes_lasso() -> tuple[Any, Any]:
    X, y = genes()
    return predicted(X, y, 2, penalty="l1", alpha=0.1), proximal(X, y, 0.1, 0.0)


@case("one gene from 1,999 others, ridge", "singular values", 1e-6, GENES)
def gene_ridge() -> tuple[Any, Any]:
    X, _ = genes()
    X, y = X[:, 1:], X[:, 0]
    pairs = [(predicted(X, y, penalty="l2", alpha=a), ridge(X, y, a)) for a in (0.0, 1e-6, 1.0, 100.0)]
    return spread(*map(np.concatenate, zip(*pairs, strict=True)), y)


@case("one gene from 1,999 others, elastic net", "scikit-learn, tolerance 1e-12", 1e-3, GENES)
def gene_net() -> tuple[Any, Any]:
    X, _ = genes()
    X, y = X[:, 1:], X[:, 0]
    reference = ElasticNet(0.1, l1_ratio=0.5, tol=1e-12, max_iter=100_000).fit(X, y / np.std(y))
    found = predicted(X, y, penalty="elasticnet", alpha=0.1, l1_ratio=0.5)
    return spread(found, reference.predict(X) * np.std(y), y)


@case("60 rows x 500 made columns, lasso", "scikit-learn, tolerance 1e-12", 1e-3)
def wide_lasso() -> tuple[Any, Any]:
    X, y = table(60, 500)
    X = single(X / X.std(axis=0))
    reference = ElasticNet(0.05, l1_ratio=1.0, tol=1e-12, max_iter=100_000).fit(X, y / np.std(y))
    return spread(predicted(X, y, penalty="l1", alpha=0.05), reference.predict(X) * np.std(y), y)
