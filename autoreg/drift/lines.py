"""Drift in plain words, worst first."""

from __future__ import annotations

import math

from autoreg.drift.adversarial import Adversarial
from autoreg.drift.compare import Drift, Moved
from autoreg.drift.promise import Kept

MOST_LINES = 10
FEW = 3
MUCH = 0.01
"""Change of the missing share that is worth words."""


def lines(
    drift: Drift | None = None, adversarial: Adversarial | None = None, kept: Kept | None = None
) -> list[str]:
    """One line a finding: the promise, the label, features that moved, old against new rows, new columns."""
    found: list[tuple[int, str]] = []
    if kept is not None:
        rank = {"degraded": 3, "kept": 0, "unknown": 0}[kept.verdict]
        found.append((rank, f"{kept.metric} on {kept.rows} new rows: {kept.reason}"))
    if drift is not None:
        found += _drift(drift)
    if adversarial is not None:
        found.append((1 if adversarial.differs else 0, _told_apart(adversarial)))
    return [text for _, text in sorted(found, key=lambda item: -item[0])]


def _drift(drift: Drift) -> list[tuple[int, str]]:
    if not drift.rows_now:
        return [(0, "no new rows to compare")]
    rank = ("none", "some", "strong").index
    found = []
    if drift.label is None:
        found.append((2, "target: another kind of target than the champion's"))
    elif drift.label.verdict != "none":
        found.append((rank(drift.label.verdict), _moved(drift.label)))
    moved = [m for m in drift.features if m.verdict != "none"]
    limit, what = (1, "measures of the images") if drift.image else (MOST_LINES, "features")
    found += [(rank(m.verdict), _moved(m)) for m in moved[:limit]]
    if len(moved) > limit:
        found.append((1, f"{len(moved) - limit} more {what} moved"))
    if drift.fresh:
        more = f" and {len(drift.fresh) - FEW} more" if len(drift.fresh) > FEW else ""
        found.append((1, f"new columns that the champion does not know: {_some(drift.fresh)}{more}"))
    known = [m for m in drift.features if not math.isnan(m.psi)]
    if not moved and known:
        most = max(known, key=lambda m: m.psi)
        found.append(
            (
                0,
                f"no{' measure' if drift.image else ' feature'} of {len(drift.features)} moved beyond noise in {drift.rows_now} new rows (largest PSI {most.psi:.2f}, {most.name!r})",
            )
        )
    return found


def _moved(m: Moved) -> str:
    """One feature in words."""
    if math.isnan(m.psi):
        return f"{m.name!r}: {m.verdict} drift; {m.note}"
    parts = [f"PSI {m.psi:.2f} (noise alone {m.noise:.2f}), p {_p(m.p)}"]
    if not math.isnan(m.ks):
        parts.append(f"largest distance {m.ks:.2f}")
    if abs(m.missing_now - m.missing_then) > MUCH:
        parts.append(f"missing {m.missing_then:.0%} then, {m.missing_now:.0%} now")
    if m.unseen:
        more = f" and {len(m.unseen) - FEW} more" if len(m.unseen) > FEW else ""
        parts.append(f"{m.unseen_share:.1%} in unseen levels {_some(m.unseen)}{more}")
    parts += [m.note] if m.note else []
    return f"{m.name!r}: {m.verdict} drift; {'; '.join(parts)}"


def _p(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(f"{name!r:.60}" for name in names[:FEW])


def _told_apart(found: Adversarial) -> str:
    if found.reason:
        return f"old rows against new ones: cannot be judged, {found.reason}"
    interval = f"AUC {found.auc:.2f}, 95 % interval {found.low:.2f} to {found.high:.2f}"
    if not found.differs:
        return f"a boosted model cannot tell new rows from old ones ({interval})"
    top = ", ".join(f"{name!r} {share:.0%}" for name, share in found.top[:FEW])
    return f"a boosted model tells new rows from old ones ({interval}), mostly by {top}"
