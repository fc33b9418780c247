"""Finalists on fresh folds: what they are scored on, what the time allows, and what is kept."""

import dataclasses
import math

import numpy as np
import pytest
from evidence_data import frame_of, searched, study

import autoreg.ending
from autoreg import tune
from autoreg.backends import FitFailure
from autoreg.finals import run_finals
from autoreg.outcome import default_numbers
from autoreg.refit import configuration
from autoreg.selection import shortlist
from autoreg.trial import OutOfTime


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def found(request):
    planned, records, _ = searched(study(), frame_of(request.param))
    return planned, records, finals(planned, records)


@pytest.fixture(scope="module")
def wine():
    return searched(study(), frame_of("multiclass"))[:2]


def finals(planned, records, time_left=lambda: np.inf, backends=None):
    return run_finals(
        records, default_numbers(planned, records), planned.problem, backends or planned.backends,
        lambda r: configuration(planned, r), planned.study.split, planned.study.search.seed, time_left,
    )  # fmt: skip


class Failing:
    """The backend itself, but for configurations that fail or take the rest of the time from some call on."""

    def __init__(self, backend, fails=lambda params: False, late_after=math.inf):
        self.backend, self.fails, self.late_after, self.calls = backend, fails, late_after, 0

    def __getattr__(self, name):
        return getattr(self.backend, name)

    def fit(self, jobs, in_time):
        self.calls += 1
        if self.calls > self.late_after:
            raise OutOfTime
        fitted = self.backend.fit(jobs, in_time)
        return [
            FitFailure("diverged") if self.fails(j.params) else f for j, f in zip(jobs, fitted, strict=True)
        ]


def scored(problem):
    return [frozenset(fold.score.tolist()) for fold in problem.split.folds]


def test_every_repeat_divides_the_rows_of_the_search_anew(found):
    planned, _, finals = found
    divisions = [frozenset(scored(p)) for p in (planned.problem, *finals.problems)]
    assert len(set(divisions)) == len(divisions) == 4
    for problem in finals.problems:
        assert sorted(np.concatenate([f.score for f in problem.split.folds])) == sorted(planned.split.search)
        for fold in problem.split.folds:
            parts = np.concatenate([fold.train, fold.stop, fold.score])
            assert len(parts) == len(set(parts.tolist()))
            assert not np.intersect1d(parts, planned.split.holdout).size


def test_the_finalists_are_the_shortlist_and_their_scores_come_from_models_that_never_saw_the_rows(found):
    planned, records, finals = found
    listed = shortlist(records, default_numbers(planned, records))
    assert [r.number for r in finals.records] == [r.number for r in listed]
    assert finals.predictions.shape[:3] == (3, len(listed), len(planned.split.search))
    assert finals.rows.tolist() == sorted(planned.split.search.tolist())
    place = {row: i for i, row in enumerate(finals.rows.tolist())}
    problem, i = finals.problems[1], len(listed) - 1
    encoding = planned.backends[listed[i].backend].encoding
    data = problem.folds(encoding)[2]
    rows = [place[row] for row in problem.split.folds[2].score.tolist()]
    expected = finals.fits[i][1][2].member.predict(data.score.X)
    np.testing.assert_array_equal(finals.predictions[1, i][rows], np.asarray(expected, np.float32))
    raw = planned.table.features.iloc[problem.split.folds[2].score]
    np.testing.assert_array_equal(problem.preprocessors(encoding)[2].transform(raw), data.score.X)


def test_the_evidence_for_a_decision_covers_every_row_once_a_repeat(found):
    planned, _, finals = found
    evidence = finals.evidence(planned.backends)
    for repeat in evidence.cells:
        assert sorted(np.concatenate(repeat)) == list(range(len(finals.rows)))
    # A third of the rows scores; of the rest up to 15 % only decide when training stops.
    stopping = np.mean(
        [len(f.stop) / (len(f.stop) + len(f.train)) for p in finals.problems for f in p.split.folds]
    )
    assert evidence.ratio == pytest.approx(1 / (2 * (1 - stopping)), rel=0.03)
    np.testing.assert_array_equal(evidence.truth, planned.table.target[finals.rows])
    assert all(
        number == 1
        for number, r in zip(evidence.copies, finals.records, strict=True)
        if r.backend == "sklearn"
    )


def test_chains_share_their_weight_and_their_preprocessing(found):
    planned, _, finals = found
    backend = planned.backends[finals.records[0].backend]
    chains = finals.chains(0, 0.6, backend)
    assert len(chains) == 9
    assert sum(weight for *_, weight in chains) == pytest.approx(0.6)
    assert finals.chains(0, 0.4, backend)[4][0] is chains[4][0]
    assert len({id(preprocessor) for preprocessor, *_ in chains}) == 9


def test_stopping_points_and_sizes_are_those_of_the_fresh_fits(found):
    finals = found[2]
    for i, record in enumerate(finals.records):
        rounds = finals.rounds(i)
        assert len(rounds) == 9
        assert all(1 <= r <= 5 for r in rounds) if record.backend == "xgboost" else set(rounds) == {0}
        assert finals.complexity(i) > 0


def test_no_time_left_means_no_finals(wine):
    assert finals(*wine, time_left=lambda: 0.0) is None


class Clock:
    """Seconds left, of which every fit takes some."""

    def __init__(self, left, backends, each):
        self.left, self.each = left, each
        self.backends = {name: Costly(backend, self) for name, backend in backends.items()}


class Costly(Failing):
    def __init__(self, backend, clock):
        super().__init__(backend)
        self.clock = clock

    def fit(self, jobs, in_time):
        self.clock.left -= len(jobs) * self.clock.each
        return super().fit(jobs, in_time)


def timed(wine, left, each=1.0):
    """Finals of trials that took a second in the search, where a second is left for so many of them; every one takes ``each``."""
    planned, records = wine
    records = [dataclasses.replace(r, result=dataclasses.replace(r.result, seconds=1.0)) for r in records]
    cost = len(shortlist(records, default_numbers(planned, records)))
    clock = Clock(left(cost), planned.backends, each / len(planned.split.folds))
    return records, finals(planned, records, lambda: clock.left, clock.backends)


def test_less_time_means_fewer_repeats_of_fewer_trials_and_says_so(wine):
    _, two = timed(wine, lambda cost: 2.5 * cost)
    assert len(two.problems) == 2
    assert two.events == ["the time left allowed 2 fresh repeats of the 8 best trials instead of 3 of 8"]
    records, one = timed(wine, lambda cost: 2.5)
    best = sorted((r for r in records if r.result.state == "complete"), key=lambda r: r.result.loss)[:2]
    assert (len(one.problems), [r.number for r in one.records]) == (1, [r.number for r in best])
    assert "1 fresh repeat of the 2 best trials and of no others" in one.events[0]
    assert timed(wine, lambda cost: 1.5)[1] is None


def test_repeats_that_take_less_than_expected_leave_time_for_more(wine):
    _, all_of_them = timed(wine, lambda cost: 1.5 * cost, each=0.4)
    assert (len(all_of_them.problems), all_of_them.events) == (3, [])
    _, one_more = timed(wine, lambda cost: 1.5 * cost, each=0.6)
    assert (len(one_more.problems), len(one_more.events)) == (2, 1)
    _, none_more = timed(wine, lambda cost: 1.5 * cost, each=0.7)
    assert (len(none_more.problems), len(none_more.events)) == (1, 1)


@pytest.mark.parametrize(("behind", "kept"), [(0.5, True), (2.0, False)])
def test_a_best_trial_that_takes_too_long_gives_way_to_quicker_ones_that_are_as_good(wine, behind, kept):
    planned, records = wine
    listed = sorted((r for r in records if r.result.state == "complete"), key=lambda r: r.result.loss)
    losses = [1.0, *(1.0 + 0.1 * behind + 0.01 * i for i in range(len(listed) - 1))]
    listed = [
        dataclasses.replace(r, result=dataclasses.replace(r.result, loss=loss, loss_se=0.1, seconds=1.0))
        for r, loss in zip(listed, losses, strict=True)
    ]
    listed[0] = dataclasses.replace(listed[0], result=dataclasses.replace(listed[0].result, seconds=10.0))
    found = finals(planned, listed, lambda: 10.5)
    assert (found is not None) is kept
    if found is not None:
        assert {r.number for r in found.records} == {r.number for r in listed[1:5]}
        assert "of the 4 best that are quick enough instead of 3 of 8" in found.events[0]


def test_a_repeat_cut_short_is_left_out_whole(wine):
    planned, records = wine
    backends = {
        name: Failing(b, late_after=1 if name == "xgboost" else math.inf)
        for name, b in planned.backends.items()
    }
    found = finals(planned, records, backends=backends)
    assert len(found.problems) == 1
    assert found.predictions.shape[0] == 1
    assert [len(fits) for fits in found.fits] == [1] * len(found.records)
    assert any("repeat 2 was cut short" in event for event in found.events)
    assert (
        finals(planned, records, backends={n: Failing(b, late_after=0) for n, b in planned.backends.items()})
        is None
    )


def test_a_finalist_that_fails_on_fresh_folds_is_out_and_named(wine):
    planned, records = wine
    first = shortlist(records, default_numbers(planned, records))[0]
    bad = configuration(planned, first)
    backends = {n: Failing(b, fails=lambda params: params == bad) for n, b in planned.backends.items()}
    found = finals(planned, records, backends=backends)
    assert first.number not in [r.number for r in found.records]
    assert len(found.problems) == 3
    assert found.events == [f"{first.backend} #{first.number} failed on fresh folds: diverged"]
    assert (
        finals(
            planned,
            records,
            backends={n: Failing(b, lambda params: True) for n, b in planned.backends.items()},
        )
        is None
    )


def test_a_study_without_time_for_finals_ends_with_the_searchs_winner_and_says_so(monkeypatch):
    monkeypatch.setattr(autoreg.ending, "run_finals", lambda *given: run_finals(*given[:-1], lambda: 0.0))
    result = tune(study(), frame_of("multiclass"), tracking="off")
    report, record = result.report, result.record
    complete = [t for t in record.trials if t.state == "complete"]
    assert report["best"]["trial"] == min(complete, key=lambda t: t.loss).number
    assert (report["final"]["kind"], report["final"]["models"]) == ("refit", 1)
    assert report["estimate"]["cv_fresh"] is None
    assert (
        report["estimate"]["holdout_low"]
        <= report["estimate"]["holdout"]
        <= report["estimate"]["holdout_high"]
    )
    assert any("no fresh repeat" in event for event in record.events)
    assert "no fresh repeat" in record.shipped.why
    assert (record.repeats, record.finalists, record.worth) == (0, [], [])
