"""The short forms of the simulations in benchmarks/honesty.py: is an estimate as honest as it says?"""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

PLACE = Path(__file__).parents[1] / "benchmarks" / "honesty.py"


@pytest.fixture(scope="module")
def honesty():
    found = importlib.util.spec_from_file_location("honesty", PLACE)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def rows_of(module, part, repetitions):
    """So many repetitions of a part as the benchmark's table holds them."""
    rows = [{"part": part, "repetition": r} | module.RUNS[part](r) for r in range(repetitions)]
    return pd.DataFrame(rows, columns=module.FIELDS)


def failed(module, rows, room):
    return [f"{what}: {value:.4f}" for what, value, ok in module.checks(rows, room) if not ok]


def test_the_best_of_fifty_coins_looks_good_and_its_corrected_score_does_not(honesty):
    rows = rows_of(honesty, "coin", 400)
    assert not failed(honesty, rows, 0.0)
    assert abs(rows.cv_corrected.mean() - 0.5) < 3.3 * rows.cv_corrected.sem()
    assert honesty.covered(rows, "cv_corrected").mean() >= 0.95
    assert honesty.covered(rows, "cv").mean() < 0.5


def told(**columns):
    """Repetitions of the part ``random`` with what matters for the checks given."""
    n = len(next(iter(columns.values())))
    rows = {"part": ["random"] * n, "repetition": range(n), "truth": [0.5] * n}
    for name in ("best_cv", "cv", "cv_corrected", "holdout"):
        value = np.asarray(columns.get(name, np.full(n, 0.5)))
        half = columns.get(f"{name}_half", 0.08)
        rows |= {name: value, f"{name}_low": value - half, f"{name}_high": value + half}
    return pd.DataFrame(rows)


def test_the_checks_see_every_kind_of_dishonesty(honesty):
    rng = np.random.default_rng(0)
    luck = 0.041 * rng.normal(size=400)
    honest = {
        "holdout": 0.5 + luck,
        "best_cv": 0.58 + luck,
        "cv": 0.55 + luck,
        "cv_corrected": 0.51 + luck / 2,
    }
    assert failed(honesty, told(**honest), 0.0) == []
    wrong = {
        "holdout within": {"holdout": 0.53 + luck},
        "holdout's interval": {"holdout_half": 0.05},
        "at most half": {"cv_corrected": 0.53 + luck / 2},
        "cv_corrected's interval": {"cv_corrected_half": 0.02},
        "naive interval": {"best_cv": 0.51 + luck},
    }
    for words, change in wrong.items():
        assert any(words in line for line in failed(honesty, told(**honest | change), 0.0)), words


def test_a_short_form_forgives_what_few_repetitions_cannot_tell(honesty):
    """More than a tenth of short forms of an honest study would fail strictly; with room hardly any does."""
    results = []
    for seed in range(100):
        luck = 0.041 * np.random.default_rng([1, seed]).normal(size=(4, 10))
        rows = told(
            holdout=0.5 + luck[0], best_cv=0.58 + luck[1], cv=0.55 + luck[2], cv_corrected=0.51 + luck[3] / 2
        )
        results.append([bool(failed(honesty, rows, room)) for room in (0.0, honesty.ROOM)])
    strict, forgiving = np.mean(results, axis=0)
    assert strict > 0.1
    assert forgiving <= 0.02


def test_a_run_that_was_stopped_goes_on_where_it_was(honesty, tmp_path, capsys):
    out = tmp_path / "h.csv"
    given = ["--parts", "coin", "--short", "--out", str(out)]
    honesty.main([*given, "--repetitions", "3"])
    first = out.read_text()
    assert honesty.main([*given, "--repetitions", "5"]) in (0, 1)
    assert out.read_text().startswith(first)
    assert pd.read_csv(out).repetition.tolist() == [0, 1, 2, 3, 4]
    assert "PASS" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.full
def test_a_whole_study_of_noise_tells_that_it_is_noise(honesty):
    rows = rows_of(honesty, "random", 12)
    assert failed(honesty, rows, honesty.ROOM) == []


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_a_study_of_a_known_signal_says_how_good_it_is(honesty, metric):
    rows = rows_of(honesty, metric, 8)
    for name, covers in (("holdout", 0.9), ("cv_corrected", 0.95)):
        bias = rows[name] - rows.truth
        assert abs(bias.mean()) < 0.01 + honesty.ROOM * bias.sem()
        room = honesty.ROOM * math.sqrt(covers * (1 - covers) / len(rows))
        assert honesty.covered(rows, name).mean() >= covers - room
