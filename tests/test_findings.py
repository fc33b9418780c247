"""A finished study gathered: the correction chooses as the search did, and the record holds what happened."""

import math

import numpy as np
import pytest
from evidence_data import evidence_of, frame_of, searched, study, two

from autoreg import tune
from autoreg.metrics import METRICS, log_loss_rows
from autoreg.outcome import correct, default_numbers, resampled_together
from autoreg.planning import plan
from autoreg.selection import complete, decide
from autoreg.trial import State, TrialRecord, TrialResult


def record(number, loss=0.5, state=State.COMPLETE):
    return TrialRecord(number, "sklearn", {}, TrialResult(state, {}, loss=loss))


def rare(n=400):
    rng = np.random.default_rng(0)
    frame = frame_of("binary").sample(n, replace=True, random_state=0).reset_index(drop=True)
    frame = frame + 1e-6 * rng.normal(size=frame.shape)
    return frame.assign(target=(np.arange(n) % 10 == 0).astype(int), w=1.0 + np.arange(n) % 3)


@pytest.mark.parametrize("weight", [None, "w"])
def test_the_correction_weighs_classes_as_the_search_did(weight):
    """One trial has learned the share of the rare class, the other leans towards it: balanced, the second is better."""
    given = {"data": {"weight": weight} if weight else {"drop": ["w"]}, "backends": ["sklearn"]}
    p = [two(np.full(400, 0.1)), two(np.full(400, 0.5))]
    values = {}
    for kind in ("none", "balanced"):
        planned = plan(study(class_weight=kind, **given), rare())
        values[kind] = correct(planned, [record(0), record(1)], lambda r: p[r.number]).value
    truth, rows = planned.table.target, planned.split.search
    weights = None if weight is None else planned.table.weight[rows]
    expected = [np.average(log_loss_rows(truth, q)[rows], weights=weights) for q in p]
    assert expected[0] < expected[1]
    assert values["none"] == pytest.approx(expected[0], abs=0.02)
    assert values["balanced"] == pytest.approx(expected[1], abs=0.02)


def test_the_correction_takes_every_complete_trial_and_no_other():
    planned, records, ledger = searched(
        study(trials=5, backends=["sklearn"], prune=False), frame_of("multiclass")
    )
    found = correct(planned, records, ledger.predictions)
    assert found.trials == len(complete(records)) == 5
    more = [*records, record(5, math.nan, State.FAILED), record(6, 0.0, State.PRUNED)]
    assert correct(planned, more, ledger.predictions) == found
    lost = correct(planned, records, lambda r: None if r.number == 0 else ledger.predictions(r))
    assert lost.trials == 4
    assert math.isnan(correct(planned, records, lambda r: None).value)
    best = complete(records)[0]
    alone = correct(planned, [best], ledger.predictions)
    rows = planned.split.search
    whole = log_loss_rows(planned.table.target[rows], ledger.predictions(best)[rows])
    assert alone.value == pytest.approx(
        whole.mean(), abs=4 * whole.std() / math.sqrt(0.37 * len(rows) * 1000)
    )


def test_defaults_are_the_first_trial_of_every_backend_but_not_of_a_grid():
    planned, records, _ = searched(study(), frame_of("multiclass"))
    assert default_numbers(planned, records) == [0, 2]
    grid = study(backends=["sklearn"], sampler="grid", sklearn={"alpha": [0.1, 1.0]})
    planned, records, _ = searched(grid, frame_of("multiclass"))
    assert default_numbers(planned, records) == []


def test_groups_and_blocks_of_time_are_resampled_as_such():
    data = frame_of("binary").assign(who=[f"p{i // 5}" for i in range(250)], when=np.arange(250)[::-1])
    grouped = plan(study(data={"group": "who", "drop": ["when"]}, backends=["sklearn"]), data)
    assert resampled_together(grouped, np.arange(10)).tolist() == ["p0"] * 5 + ["p1"] * 5
    timed = plan(study(data={"time": "when", "drop": ["who"]}, backends=["sklearn"]), data)
    assert len(set(resampled_together(timed, np.arange(250)))) == math.ceil(250 / 6)
    plain = plan(study(data={"drop": ["who", "when"]}, backends=["sklearn"]), data)
    assert resampled_together(plain, np.arange(10)) is None


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_record_tells_what_the_report_tells(task):
    result = tune(study(trials=8), frame_of(task), tracking="off")
    record, report = result.record, result.report
    assert record.report == report
    assert (record.repeats, record.folds) == (3, 3)
    assert record.search_rows + record.holdout_rows == record.rows == 250
    (winner,) = [f for f in record.finalists if f.number == report["best"]["trial"]]
    assert winner.best
    assert len(winner.cells) == 9
    assert (
        np.mean(winner.cells) == pytest.approx(winner.fresh) == pytest.approx(report["estimate"]["cv_fresh"])
    )
    assert record.finalists[0].difference == 0.0
    assert {f.number for f in record.finalists if f.default} == {0, 2}
    assert sum(f.one_se for f in record.finalists) == 1
    (chosen,) = [option for option in record.shipped.options if option.chosen]
    assert (chosen.kind, chosen.models) == (report["final"]["kind"], report["final"]["models"])
    assert record.judged.rows == record.holdout_rows
    losses = {t.number: t.loss for t in record.trials}
    assert [losses[o.number] for o in record.overtuning] == sorted(
        (losses[o.number] for o in record.overtuning), reverse=True
    )
    assert record.overtuning[0].trial == 0
    assert record.shipped.bytes > 0
    assert type(record).from_json(record.to_json()).finalists == record.finalists


def test_a_decision_by_accuracy_is_told_in_accuracy():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, 300)
    p = np.full((2, 300, 3), 0.1)
    p[0, np.arange(300), y] = p[1, np.arange(300), np.where(np.arange(300) % 4, y, (y + 1) % 3)] = 0.8
    found = decide(evidence_of("multiclass", "accuracy", y, p[:, :, :], (1, 1)), "best", "single")
    assert found.winner == 0
    assert found.scores[0].tolist() == [1.0] * 10
    assert found.scores[1].mean() == pytest.approx(METRICS["accuracy"](y, p[1])) == pytest.approx(0.75)
