import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, ks_2samp
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from autoreg.data import load_table
from autoreg.drift import (
    Moved,
    adversarial,
    compare,
    cross_validated_auc,
    degraded,
    lines,
    new_rows,
    profile,
    row_keys,
)
from autoreg.drift.compare import chi2_p, coarse, holm, psi
from autoreg.drift.profile import cells
from autoreg.errors import DataError
from autoreg.metrics import METRICS
from autoreg.selection import estimate
from autoreg.spec import DataSpec

START = np.datetime64("2025-01-01")


def frame(n, seed=0, shift=0.0, levels=("red", "green", "blue"), missing=0.1):
    rng = np.random.default_rng(seed)
    number = rng.normal(size=n) + shift
    number[rng.random(n) < missing] = np.nan
    colour = rng.choice(levels, n)
    return pd.DataFrame(
        {
            "number": number,
            "steps": np.where(rng.random(n) < 0.5, 0, rng.integers(1, 9, n)),
            "colour": colour,
            "flag": rng.random(n) < 0.3,
            "day": START + rng.integers(0, 100, n).astype("timedelta64[D]"),
            "label": np.where(rng.random(n) < 0.4, "yes", "no"),
        }
    )


def table(data, **roles):
    return load_table(DataSpec(source="x.csv", target="label", **roles), "t", None, data)


def both(then, now, **roles):
    """A table of old rows and then new ones, and the positions of both."""
    t = table(pd.concat([then, now], ignore_index=True), **roles)
    return t, np.arange(len(then)), np.arange(len(then), len(then) + len(now))


def moved(drift, name):
    return next(m for m in drift.features if m.name == name)


def test_keys_tell_appended_rows_in_any_order_of_rows_and_columns():
    data = frame(300)
    then = row_keys(table(data.iloc[:200]))
    mixed = data.sample(frac=1, random_state=1)[list(data.columns[::-1])]
    found = new_rows(then, table(mixed))
    assert set(mixed.index[found]) == set(range(200, 300))
    assert then.dtype == np.uint64
    assert then.nbytes == 8 * 200


def test_equal_rows_are_counted():
    data = frame(40)
    t = table(pd.concat([data, data.iloc[:5], data.iloc[:5]], ignore_index=True))
    assert new_rows(row_keys(table(data)), t).tolist() == list(range(40, 50))
    assert new_rows(row_keys(t), table(data)).tolist() == []
    assert new_rows(np.empty(0, np.uint64), table(data)).tolist() == list(range(40))


def test_a_corrected_label_makes_a_row_new_and_a_new_class_does_not():
    data = frame(60)
    then = row_keys(table(data))
    data.loc[7, "label"] = "no" if data.loc[7, "label"] == "yes" else "yes"
    assert new_rows(then, table(data)).tolist() == [7]
    more = pd.concat([frame(60), frame(9, 1).assign(label="a third")], ignore_index=True)
    assert new_rows(then, table(more)).tolist() == list(range(60, 69))


def test_a_column_that_varies_only_today_moves_no_key():
    data = frame(60).assign(late=1)
    old = table(data)
    assert "late" not in old.kinds
    t = table(pd.concat([data, frame(20, 1).assign(late=2)], ignore_index=True))
    assert "late" in t.kinds
    kept = json.loads(json.dumps(profile(old, np.arange(60))))
    assert new_rows(row_keys(old), t, kept).tolist() == list(range(60, 80))
    with pytest.raises(DataError, match="column 'number' tells old rows"):
        row_keys(table(data.drop(columns="number")), kept)


def test_a_profile_is_json_and_holds_no_extremes():
    data = frame(500)
    data.loc[3, "number"] = 1e6
    kept = profile(table(data), np.arange(500))
    text = json.dumps(kept, allow_nan=False)
    assert "1000000" not in text
    assert kept["features"]["colour"]["levels"].keys() == {"red", "green", "blue"}
    assert sum(kept["label"]["levels"].values()) == 500
    number = kept["features"]["number"]
    assert sum(number["counts"]) + number["missing"] == 500
    assert len(number["edges"]) <= 49


def test_hashed_levels_hide_names_and_compare_the_same():
    t, old, new = both(frame(400), frame(200, 1, levels=("red", "green", "mauve")))
    shown, hidden = profile(t, old), profile(t, old, hashed=True)
    text = json.dumps(hidden)
    assert not any(word in text for word in ("red", "green", "yes"))
    a, b = (moved(compare(p, t, new), "colour") for p in (shown, hidden))
    assert a.psi == pytest.approx(b.psi)
    assert a.p == pytest.approx(b.p)
    assert a.unseen == ("mauve",)
    assert len(b.unseen[0]) == 16
    assert a.unseen_share == b.unseen_share == pytest.approx((t.features["colour"][new] == "mauve").mean())


def test_rare_levels_share_a_cell_and_are_not_called_unseen():
    rng = np.random.default_rng(0)
    words = np.array([f"w{i:03d}" for i in range(80)])
    data = frame(4000).assign(colour=pd.Categorical(rng.choice(words, 4000)))
    t, old, new = both(data, data.iloc[:500])
    kept = profile(t, old)
    entry = kept["features"]["colour"]
    assert len(entry["levels"]) == 50
    assert sum(entry["levels"].values()) + entry["other"] == 4000
    assert moved(compare(kept, t, new), "colour").unseen == ()


def test_cells_count_between_and_at_edges():
    assert cells(np.array([-1.0, 0, 0, 1, 2, 5]), [0.0, 2.0]).tolist() == [1, 2, 1, 1, 1]
    assert cells(np.array([3.0, 4.0]), []).tolist() == [2]
    assert coarse(np.array([5, 45, 50])).tolist() == [0, 1, 2]
    assert coarse(np.full(20, 5)).tolist() == np.repeat(np.arange(10), 2).tolist()


@pytest.mark.parametrize("name", ["number", "steps"])
def test_the_stored_distance_bounds_the_true_one(name):
    for seed in range(5):
        t, old, new = both(frame(700, seed), frame(300, seed + 50, shift=seed / 4))
        found = moved(compare(profile(t, old), t, new), name)
        values = t.features[name].to_numpy(float)
        a, b = values[old][~np.isnan(values[old])], values[new][~np.isnan(values[new])]
        true = ks_2samp(a, b).statistic
        assert found.ks - 1e-12 <= true <= found.ks + found.ks_error + 1e-12
        assert found.ks_error < 0.03


def test_chi_squared_agrees_with_scipy_where_no_cell_is_rare():
    then, now = np.array([50.0, 30, 20, 70]), np.array([30.0, 30, 12, 20])
    assert chi2_p(then, now) == pytest.approx(chi2_contingency([then, now], correction=False)[1])
    assert chi2_p(np.array([400.0, 1, 1]), np.array([40.0, 0, 0])) == 1.0


def test_holm_by_hand():
    assert holm(np.array([0.01, np.nan, 0.04, 0.03])).tolist() == pytest.approx(
        [0.03, np.nan, 0.06, 0.06], nan_ok=True
    )


def test_without_drift_the_index_has_the_mean_that_noise_says():
    rng = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    found = [psi(rng.multinomial(2000, shares) * 1.0, rng.multinomial(500, shares) * 1.0) for _ in range(400)]
    index, noise = np.array(found).T
    assert noise[0] == pytest.approx(9 * (1 / 2000 + 1 / 500))
    assert index.mean() == pytest.approx(noise[0], rel=0.08)


def test_false_alarms_without_drift_are_few_and_nearly_all_real_shifts_are_seen():
    alarms, seen, small = 0, 0, 0
    for seed in range(40):
        t, old, new = both(frame(400, seed), frame(60, 1000 + seed))
        kept = profile(t, old)
        drift = compare(kept, t, new)
        alarms += any(m.verdict != "none" for m in drift.features)
        small += any(m.p < 0.05 for m in drift.features)
        t, old, new = both(frame(400, seed), frame(60, 1000 + seed, shift=1.0))
        seen += moved(compare(profile(t, old), t, new), "number").verdict == "strong"
    assert alarms <= 5
    assert small <= 6
    assert seen >= 38


def test_verdicts_come_worst_first_with_the_label_apart():
    now = frame(400, 1, shift=2.0, missing=0.5).assign(label="yes")
    t, old, new = both(frame(800), now)
    drift = compare(profile(t, old), t, new)
    assert drift.features[0].name == "number"
    assert drift.verdict == "strong"
    first = drift.features[0]
    assert first.missing_then == pytest.approx(0.1, abs=0.03)
    assert first.missing_now == pytest.approx(0.5, abs=0.08)
    assert drift.label.verdict == "strong"
    found = lines(drift)
    assert any(line.startswith("'number': strong drift; PSI") and "missing" in line for line in found[:2])
    assert any(line.startswith("'target': strong drift") for line in found[:2])
    record = json.loads(json.dumps(drift.as_json(), allow_nan=False))
    assert record["verdict"] == "strong"
    assert record["features"][0]["name"] == "number"


def test_columns_that_came_went_or_changed_their_kind():
    data = frame(300)
    kept = profile(table(data), np.arange(300))
    today = data.drop(columns="flag").assign(extra=np.arange(300) % 7, steps="a b")
    today.loc[:149, "steps"] = "c d"
    drift = compare(kept, table(today), np.arange(300))
    assert drift.fresh == ("extra",)
    assert moved(drift, "flag").verdict == "strong"
    assert "missing today" in moved(drift, "flag").note
    steps = moved(drift, "steps")
    assert steps.verdict == "strong"
    assert steps.missing_now == 1.0
    assert steps.note == "it was numeric and is category today"
    assert any("new columns" in line and "'extra'" in line for line in lines(drift))


def test_a_regression_target_and_another_kind_of_target():
    rng = np.random.default_rng(0)
    data = frame(500).assign(label=rng.normal(size=500))
    t, old, new = both(data, data.iloc[:200].assign(label=rng.normal(2, 1, 200)))
    kept = profile(t, old)
    assert compare(kept, t, new).label.verdict == "strong"
    other = table(frame(300))
    drift = compare(kept, other, np.arange(300))
    assert drift.label is None
    assert "another kind of target" in lines(drift)[0]


def test_no_rows_and_texts_are_no_trouble():
    words = [" ".join(["word"] * (i % 9 + 1)) + f" {i}" for i in range(300)]
    t = table(frame(300).assign(words=words))
    assert t.kinds["words"] == "text"
    kept = profile(t, np.arange(300))
    assert lines(compare(kept, t, np.arange(0))) == ["no new rows to compare"]
    same = compare(kept, t, np.arange(300))
    assert same.verdict == "none"
    assert moved(same, "words").ks == 0
    assert lines(same)[0].startswith("no feature of 6 moved beyond noise in 300 new rows")


def test_the_auc_is_scikit_learns_and_its_error_the_bootstraps():
    rng = np.random.default_rng(0)
    side = np.repeat([0, 1], [300, 200])
    scores = np.round(rng.normal(size=500) + 0.5 * side, 1)
    part = np.zeros(500, np.int64)
    auc, se = cross_validated_auc(side, scores, part, [0], None)
    assert auc == pytest.approx(roc_auc_score(side, scores))
    draws = [roc_auc_score(side[i], scores[i]) for i in rng.integers(500, size=(300, 500))]
    assert se == pytest.approx(np.std(draws), rel=0.15)
    # Every row twice in one group: as uncertain as once, not as twice the rows.
    twice = np.tile(np.arange(500), 2)
    again = cross_validated_auc(side[twice], scores[twice], part[twice], [0], twice)
    assert again == pytest.approx((auc, se))


def test_old_and_new_rows_are_told_apart_only_where_they_differ():
    data = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "label"})
    t = table(data)
    order = np.random.default_rng(0).permutation(len(data))
    alike = adversarial(t, order[:400], order[400:], 0)
    assert alike.auc < 0.55
    assert not alike.differs
    other = data.copy()
    other.loc[order[400:], "mean radius"] += 3
    apart = adversarial(table(other), order[:400], order[400:], 0)
    assert apart.differs
    assert apart.auc > 0.8
    assert apart.top[0][0] == "mean radius"
    assert (apart.rows_old, apart.rows_new) == (400, 169)
    assert apart == adversarial(table(other), order[:400], order[400:], 0)
    assert "mostly by 'mean radius'" in lines(adversarial=apart)[0]
    assert "cannot tell" in lines(adversarial=alike)[0]
    json.dumps(apart.as_json(), allow_nan=False)


@pytest.mark.slow
@pytest.mark.full
def test_where_nothing_moved_few_intervals_lie_above_one_half():
    alarms = 0
    for seed in range(80):
        t, old, new = both(frame(300, seed), frame(150, seed + 999))
        alarms += adversarial(t, old, new, seed).differs
    # 2.5 % of 80 and two standard errors.
    assert alarms <= 4


def test_groups_stay_together_and_dates_stay_out():
    then, now = frame(300), frame(300, 1)
    now["day"] = now["day"] + np.timedelta64(300, "D")
    group = np.repeat(np.arange(60), 10)
    t, old, new = both(then, now)
    found = adversarial(t, old, new, 0)
    assert found.left_out == ("day",)
    assert not found.differs
    # A feature that names the group tells its side only where rows of one group lie in both parts.
    named = replace(t, features=t.features.assign(number=group * 1.0 % 7 + group / 1000))
    loose = adversarial(named, old, new, 0)
    grouped = adversarial(replace(named, group=group.astype(str)), old, new, 0)
    assert loose.auc > 0.9 > grouped.auc


def test_too_few_rows_or_groups_give_a_reason():
    t, old, new = both(frame(300), frame(30, 1))
    found = adversarial(t, old, new, 0)
    assert np.isnan(found.auc)
    assert found.reason == "300 old and 30 new rows; it takes 50 of each"
    assert found.as_json()["auc"] is None
    assert "cannot be judged" in lines(adversarial=found)[0]
    t, old, new = both(frame(300), frame(100, 1))
    one = adversarial(replace(t, group=np.repeat(["a", "b"], 200)), old, new, 0)
    assert one.reason == "2 groups; it takes 10"


def binary(rng, n, noise=1.0):
    """Truth and probabilities of a calibrated model; more noise: the labels listen to it less."""
    z = 2.0 * rng.normal(size=n)
    p = 1 / (1 + np.exp(-z))
    y = (rng.random(n) < 1 / (1 + np.exp(-z / noise))).astype(np.int64)
    return y, np.stack([1 - p, p], axis=1)


@pytest.mark.parametrize(
    ("name", "then", "now"),
    [
        ("accuracy", 300, 60),
        pytest.param("log_loss", 300, 60, marks=pytest.mark.slow),
        pytest.param("log_loss", 150, 400, marks=pytest.mark.slow),
        pytest.param("roc_auc", 200, 200, marks=pytest.mark.slow),
    ],
)
def test_false_alarms_of_the_promise_are_at_most_one_in_twenty(name, then, now, monkeypatch):
    monkeypatch.setattr(sys.modules["autoreg.selection.estimate"], "BOOTSTRAP", 400)
    metric, alarms, seen, times = METRICS[name], 0, 0, 120
    for seed in range(times):
        rng = np.random.default_rng(seed)
        y, p = binary(rng, then)
        promised = estimate(metric, y, p, None, None, (0.0, 0.0), seed).headline
        alarms += degraded(metric, *binary(rng, now), promised, seed=seed).verdict == "degraded"
        seen += degraded(metric, *binary(rng, 400, -1.0), promised, seed=seed).verdict == "degraded"
    # 5 % of 120 and two standard errors.
    assert alarms <= 10
    assert seen == times


def test_a_promise_in_words():
    rng = np.random.default_rng(0)
    metric = METRICS["log_loss"]
    bad = degraded(metric, *binary(rng, 400, -1.0), (0.35, 0.3, 0.4))
    assert bad.beyond
    assert bad.worse > 0
    assert bad.low > 0.4
    assert bad.reason.endswith("wholly beyond the promised interval")
    fine = degraded(metric, *binary(rng, 400), (0.45, 0.35, 0.55))
    assert fine.verdict == "kept"
    assert fine.reason.endswith("within noise")
    assert lines(kept=bad)[0].startswith("log_loss on 400 new rows: ")
    none = degraded(metric, *binary(rng, 400), (float("nan"),) * 3)
    assert none.verdict == "unknown"
    assert none.as_json()["promised"] is None
    assert "it takes 50" in degraded(metric, *binary(rng, 30), (0.4, 0.3, 0.5)).reason
    y, p = binary(rng, 100)
    assert "rarest class" in degraded(metric, np.minimum(y, 0), p, (0.4, 0.3, 0.5)).reason


def test_findings_come_worst_first():
    rng = np.random.default_rng(0)
    t, old, new = both(frame(800), frame(400, 1, shift=2.0))
    found = lines(
        compare(profile(t, old), t, new),
        adversarial(t, old, new, 0),
        degraded(METRICS["log_loss"], *binary(rng, 400, -1.0), (0.35, 0.3, 0.4)),
    )
    assert found[0].startswith("log_loss on 400 new rows")
    assert found[1].startswith("'number': strong drift")
    assert found[-1].startswith("a boosted model tells new rows")
    assert isinstance(compare(profile(t, old), t, new).features[0], Moved)
