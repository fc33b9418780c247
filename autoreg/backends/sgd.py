"""Linear models for large data: proximal stochastic gradient descent, early stopped on the stop part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoreg.penalties import Penalty
from autoreg.serving import sigmoid, softmax
from autoreg.trial import Floats

Single = NDArray[np.float32]
MOMENTUM = 0.9
MIN_GAIN = 1e-5


@dataclass(frozen=True)
class Rows:
    """Rows to learn from or to stop by.

    Attributes
    ----------
    X : ndarray, shape (n, columns), float32
    truth : ndarray, shape (n, outputs), float32
        0/1 for two classes, one-hot for more, standardised values for regression.
    weight : ndarray, shape (n,), float32
        Weights with mean 1.
    """

    X: Single
    truth: Single
    weight: Single


@dataclass(frozen=True)
class Descent:
    """The best epoch of a descent: scores ``X @ coef + intercept``, and the mean losses by epoch."""

    coef: Floats
    intercept: Floats
    epochs: int
    train_loss: Floats
    stop_loss: Floats


def descend(
    train: Rows, stop: Rows | None, penalty: Penalty, link: str, seed: int, epochs: int, patience: int
) -> Descent:
    """Minimise mean loss plus penalty in mini-batches with momentum; the penalty acts as a proximal step.

    The step starts at one over the mean curvature of a row and shrinks by a fixed schedule, so that a refit
    for the same number of epochs walks the same way.

    Parameters
    ----------
    train, stop : Rows
        Without ``stop`` (or with ``patience`` 0) all ``epochs`` are run and the last is kept.
    penalty : Penalty
    link : {"identity", "logistic", "softmax"}
    seed : int
    epochs, patience : int
    """
    rng = np.random.default_rng(seed)
    W = np.zeros((train.X.shape[1] + 1, train.truth.shape[1]), np.float32)
    V = np.zeros_like(W)
    bound = {"identity": 1.0, "logistic": 0.25, "softmax": 0.5}[link]
    first = 1.0 / (bound * (1.0 + float(np.einsum("ij,ij->", train.X, train.X)) / len(train.X)))
    best, kept = 0, W
    train_loss: list[float] = []
    stop_loss: list[float] = []
    for epoch in range(epochs):
        W, V, loss = _epoch(train, W, V, penalty, link, first / (1.0 + epoch / 10.0), rng)
        train_loss.append(loss)
        if stop is not None:
            stop_loss.append(float(np.mean(stop.weight * _loss(_scores(stop.X, W), stop.truth, link))))
        watched = stop_loss if stop is not None and patience else None
        if watched is None or epoch == 0 or watched[-1] < watched[best - 1] - MIN_GAIN:
            best, kept = epoch + 1, W
        elif epoch + 1 - best >= patience:
            break
    coef = kept.astype(np.float64)
    return Descent(coef[:-1], coef[-1], best, np.asarray(train_loss), np.asarray(stop_loss))


def _epoch(
    train: Rows, W: Single, V: Single, penalty: Penalty, link: str, step: float, rng: np.random.Generator
) -> tuple[Single, Single, float]:
    """One pass in random order; returns weights, velocity and the mean loss met on the way."""
    n = len(train.X)
    size = int(2 ** np.clip(np.round(np.log2(max(n, 1) / 128)), 5, 10))
    order, total = rng.permutation(n), 0.0
    # Momentum lets each slope act 1 / (1 - MOMENTUM) times in all, so the penalty takes a step as long as that.
    whole = step / (1.0 - MOMENTUM)
    shrink, threshold = np.float32(1.0 / (1.0 + whole * penalty.l2)), np.float32(whole * penalty.l1)
    for start in range(0, n, size):
        rows = order[start : start + size]
        X, truth, weight = train.X[rows], train.truth[rows], train.weight[rows]
        scores = _scores(X, W)
        total += float(weight @ _loss(scores, truth, link))
        residual = (_mean(scores, link) - truth) * (weight / np.float32(len(rows)))[:, None]
        slope = np.concatenate([X.T @ residual, residual.sum(axis=0, keepdims=True)])
        V = np.asarray(np.float32(MOMENTUM) * V - np.float32(step) * slope, np.float32)
        W = W + V
        W[:-1] *= shrink
        if threshold:
            W[:-1] = np.sign(W[:-1]) * np.maximum(np.abs(W[:-1]) - threshold, np.float32(0))
    return W, V, total / float(train.weight.sum())


def _scores(X: Single, W: Single) -> Single:
    return np.asarray(X @ W[:-1] + W[-1], np.float32)


def _mean(scores: Single, link: str) -> Single:
    if link == "identity":
        return scores
    return np.asarray(sigmoid(scores) if link == "logistic" else softmax(scores), np.float32)


def _loss(scores: Single, truth: Single, link: str) -> Single:
    """Squared error or log loss, per row."""
    if link == "identity":
        return np.asarray((scores - truth)[:, 0] ** 2)
    if link == "logistic":
        return np.asarray(np.logaddexp(np.float32(0), scores[:, 0]) - truth[:, 0] * scores[:, 0])
    top = scores.max(axis=1)
    log_total = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top
    return np.asarray(log_total - (truth * scores).sum(axis=1))
