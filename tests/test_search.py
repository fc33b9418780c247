"""The loop itself: who is next, what is told when, what time and the ledger do to it."""

from dataclasses import replace

import pytest

from autoreg.executor import SerialExecutor
from autoreg.ledger import History, MemoryLedger
from autoreg.planning import plan
from autoreg.racing import Judge
from autoreg.search import Arm, Search
from autoreg.space import Proposer
from autoreg.spec import parse_study
from autoreg.trial import OutOfTime, State, TrialRecord, TrialResult


class Silent:
    def __init__(self):
        self.said, self.seen = [], []

    def say(self, message):
        self.said.append(message)

    def trial(self, record, replayed):
        self.seen.append((record.number, record.backend, replayed))


@pytest.fixture(scope="module")
def planned():
    return plan(
        parse_study(
            {
                "name": "iris",
                "data": {"source": "sklearn:load_iris", "target": "target"},
                "split": {"folds": 3},
                "search": {
                    "backends": ["sklearn", "xgboost"],
                    "trials": 12,
                    "block": 2,
                    "lookahead": 3,
                    "xgboost": {"rounds": 10},
                },
            }
        )
    )


def search(
    planned, *, time_left=lambda: 1e9, history=None, ledger=None, watch=None, executor=None, **changes
):
    spec = planned.study.search.model_copy(update=changes)
    arms = {
        name: Arm(b, Proposer(planned.resolved[name], spec.sampler, spec.seed, name))
        for name, b in planned.backends.items()
    }
    executor = executor or SerialExecutor(planned.problem, planned.backends, lambda: time_left() > 0)
    return Search(
        spec,
        planned.block,
        arms,
        executor,
        ledger or MemoryLedger(),
        history or History(),
        time_left,
        watch or Silent(),
        Judge(planned.table.task, planned.problem.row_losses),
    )


def told(records):
    return [(r.number, r.backend, dict(r.result.params), r.result.loss) for r in records]


def test_backends_take_turns_in_the_order_of_the_study(planned):
    watch = Silent()
    search(planned, watch=watch).run()
    assert [n for n, _, _ in watch.seen] == list(range(12))
    assert [b for _, b, _ in watch.seen] == (["sklearn"] * 2 + ["xgboost"] * 2) * 3


def test_a_trial_is_asked_when_exactly_the_trials_up_to_the_lookahead_are_told(planned):
    moments = []
    running = search(planned)
    for arm in running.arms.values():
        ask = arm.proposer.ask

        def noted(number, *rest, ask=ask):
            moments.append((number, running.told))
            return ask(number, *rest)

        arm.proposer.ask = noted
    running.run()
    assert moments == [(n, max(-1, n - 3)) for n in range(12)]


@pytest.mark.parametrize(("block", "lookahead"), [(4, 1), (1, 4), (5, 5)])
def test_any_block_goes_with_any_lookahead(planned, block, lookahead):
    running = search(planned, lookahead=lookahead)
    running.block = block
    assert [r.number for r in running.run()] == list(range(12))


def test_a_shorter_study_is_a_prefix_of_a_longer_one(planned):
    assert told(search(planned, trials=7).run()) == told(search(planned).run())[:7]


def test_trials_in_the_ledger_are_looked_up_not_computed(planned):
    ledger = MemoryLedger()
    whole = told(search(planned, ledger=ledger).run())
    for kept in (0, 5, 11):
        history = History({n: r for n, r in ledger.history.records.items() if n < kept})
        watch = Silent()
        assert told(search(planned, history=history, watch=watch).run()) == whole
        assert [replayed for _, _, replayed in watch.seen] == [n < kept for n in range(12)]


def test_a_hole_in_the_ledger_is_filled_with_the_same_trial(planned):
    ledger = MemoryLedger()
    whole = told(search(planned, ledger=ledger).run())
    holes = History({n: r for n, r in ledger.history.records.items() if n not in (2, 3, 8)})
    assert told(search(planned, history=holes).run()) == whole


def test_time_that_runs_out_leaves_a_prefix(planned):
    left = iter([100.0] * 25)

    def time_left():
        return next(left, 0.0)

    whole = told(search(planned).run())
    running = search(planned, time_left=time_left)
    short = told(running.run())
    assert running.stopped_by == "timeout"
    assert 0 < len(short) < 12
    assert short == whole[: len(short)]


class Slow(SerialExecutor):
    """Makes one backend's trials look a hundred times as long."""

    def wait(self):
        done = super().wait()
        stretch = 100.0 if done.work.backend == "xgboost" else 1.0
        return type(done)(done.work, done.results, done.started, done.started + stretch)


def test_a_backend_whose_next_block_cannot_fit_is_dropped_and_stays_dropped_on_replay(planned):
    ledger, watch = MemoryLedger(), Silent()
    slow = Slow(planned.problem, planned.backends, lambda: True)
    records = search(planned, time_left=lambda: 50.0, executor=slow, ledger=ledger, watch=watch).run()
    assert ledger.history.drops == {"xgboost": 6}
    assert any("xgboost" in words for words in watch.said)
    assert [r.backend for r in records].count("sklearn") == 10
    history = History(dict(ledger.history.records), ledger.history.drops)
    assert told(search(planned, history=history).run()) == told(records)


@pytest.mark.parametrize("kept", [3, 5, 12])
def test_what_the_ledger_holds_is_told_also_when_the_time_is_up(planned, kept):
    ledger = MemoryLedger()
    whole = told(search(planned, ledger=ledger).run())
    history = History({n: r for n, r in ledger.history.records.items() if n < kept})
    running = search(planned, history=history, time_left=lambda: 0.0)
    assert told(running.run()) == whole[:kept]
    assert running.stopped_by == ("timeout" if kept < 12 else "trials")


def test_no_backend_is_dropped_for_one_with_nothing_left_to_try(planned):
    slow = Slow(planned.problem, planned.backends, lambda: True)
    running = search(planned, time_left=lambda: 50.0, executor=slow)
    running.arms["sklearn"].proposer._list = [planned.defaults["sklearn"]]
    records = running.run()
    assert not running.drops
    assert [r.backend for r in records].count("xgboost") == 11


def test_a_block_that_was_begun_is_never_dropped(planned):
    ledger = MemoryLedger()
    whole = told(search(planned, ledger=ledger).run())
    history = History({n: r for n, r in ledger.history.records.items() if n not in (3, 5, 7, 10, 11)})
    slow = Slow(planned.problem, planned.backends, lambda: True)
    again = search(planned, history=history, time_left=lambda: 150.0, executor=slow).run()
    assert told(again)[:10] == whole[:10]


def test_the_incumbent_is_fetched_once_after_a_resume(planned):
    class Counting(MemoryLedger):
        def __init__(self):
            super().__init__()
            self.fetched = []

        def predictions(self, record):
            self.fetched.append(record.number)
            return first.history.records[record.number].result.predictions

    first = MemoryLedger()
    search(planned, ledger=first).run()
    bare = {
        n: replace(r, result=replace(r.result, predictions=None))
        for n, r in first.history.records.items()
        if n < 6
    }
    ledger = Counting()
    search(planned, history=History(bare), ledger=ledger).run()
    assert len(ledger.fetched) == len(set(ledger.fetched)) <= 4


def test_a_crash_in_an_executor_is_loud_and_closes_it(planned):
    class Broken(SerialExecutor):
        def wait(self):
            raise RuntimeError("our own bug")

    broken = Broken(planned.problem, planned.backends, lambda: True)
    with pytest.raises(RuntimeError, match="our own bug"):
        search(planned, executor=broken).run()
    assert not broken.queue


def test_a_failed_trial_is_told_as_failed_and_the_search_goes_on(planned):
    class Failing(SerialExecutor):
        def wait(self):
            done = super().wait()
            failed = [TrialResult(State.FAILED, c.params, reason="diverged") for c in done.work.candidates]
            return (
                done
                if 3 not in done.work.numbers
                else type(done)(done.work, failed, done.started, done.ended)
            )

    failing = Failing(planned.problem, planned.backends, lambda: True)
    records = search(planned, executor=failing).run()
    assert [r.result.state for r in records].count(State.FAILED) == 1
    assert len(records) == 12


def test_a_ledger_of_another_sequence_is_refused(planned):
    record = TrialRecord(0, "xgboost", {}, TrialResult(State.COMPLETE, {}, loss=0.1))
    with pytest.raises(Exception, match="--fresh"):
        search(planned, history=History({0: record})).run()


def test_out_of_time_inside_a_trial_leaves_no_trace(planned):
    class Late(SerialExecutor):
        def wait(self):
            if 4 in self.queue[0].numbers:
                raise OutOfTime
            return super().wait()

    ledger = MemoryLedger()
    late = Late(planned.problem, planned.backends, lambda: True)
    records = search(planned, executor=late, ledger=ledger).run()
    assert [r.number for r in records] == [0, 1, 2, 3]
    assert set(ledger.history.records) == {0, 1, 2, 3}
