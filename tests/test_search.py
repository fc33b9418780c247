"""The loop itself: who is next, what is told when, what time and the ledger do to it."""

from dataclasses import replace

import pytest

from autoreg.backends.boosted import BoostedBackend
from autoreg.executor import SerialExecutor
from autoreg.header import study_header
from autoreg.ledger import History, MemoryLedger, MlflowLedger
from autoreg.planning import plan
from autoreg.racing import Judge
from autoreg.search import Arm, Search
from autoreg.space import Proposer
from autoreg.spec import parse_study
from autoreg.trial import OutOfTime, State, TrialRecord, TrialResult, Turn


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


def test_a_backend_whose_next_turn_cannot_fit_sits_out_also_on_replay(planned):
    ledger, watch = MemoryLedger(), Silent()
    slow = Slow(planned.problem, planned.backends, lambda: True)
    running = search(planned, time_left=lambda: 50.0, executor=slow, ledger=ledger, watch=watch)
    records = running.run()
    assert ledger.history.turns == [Turn(6, "xgboost", 0)]
    assert (running.drops, running.sat_out) == ({}, {"xgboost": 6})
    assert watch.said == ["xgboost: its next trial would take about 50 s and 50 s are left, so it sits out"]
    assert [r.backend for r in records].count("sklearn") == 10
    assert told(search(planned, history=ledger.begin(None)).run()) == told(records)


def test_a_backend_that_sat_out_is_back_where_a_longer_run_has_time_for_it(planned):
    ledger, watch = MemoryLedger(), Silent()
    slow = Slow(planned.problem, planned.backends, lambda: True)
    short = search(planned, time_left=lambda: 50.0, executor=slow, ledger=ledger, trials=9).run()
    more = search(planned, history=ledger.begin(None), ledger=ledger, watch=watch, trials=20)
    longer = more.run()
    assert told(longer)[:9] == told(short)
    assert [r.backend for r in longer[8:12]] == ["sklearn"] * 2 + ["xgboost"] * 2
    assert ledger.history.turns == [Turn(6, "xgboost", 0), Turn(10, "xgboost", 2)]
    assert watch.said == ["xgboost: the time left is enough for it again"]
    assert more.sat_out == {}
    assert told(search(planned, history=ledger.begin(None), trials=20).run()) == told(longer)


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
    assert not running.referee.turns
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


def test_what_was_begun_goes_on_when_nothing_is_begun_any_more(planned):
    """The time is up inside trial 4: it is finished and told; trial 5, of the same turn, is not begun."""

    class Noticing(SerialExecutor):
        def wait(self):
            now["trial"] = self.queue[0].numbers[0]
            return super().wait()

    def begins():
        now["asked"] += now["trial"] == 4
        return now["trial"] < 4 or (now["trial"] == 4 and now["asked"] == 1)

    now = {"trial": 0, "asked": 0}
    for goes_on, told_ones in ((lambda: True, 5), (None, 4)):
        now.update(trial=0, asked=0)
        executor = Noticing(planned.problem, planned.backends, begins, goes_on=goes_on)
        assert len(search(planned, executor=executor).run()) == told_ones


def test_workers_have_a_while_to_finish_what_they_began(planned):
    class Draining(SerialExecutor):
        def drain(self, seconds):
            drained.append(seconds)
            return []

    drained = []
    executor = Draining(planned.problem, planned.backends, lambda: True)
    running = search(planned, executor=executor, time_left=lambda: 0.0)
    running.grace = lambda: 3.0
    running.run()
    running.grace = lambda: -1.0
    running.run()
    assert drained == [3.0, 0.0]


# -- the race, and ranges that grow --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def contest():
    """Boosting of two tiny steps cannot win; the linear models' range is far too strong for this table."""
    return plan(
        parse_study(
            {
                "name": "contest",
                "data": {"source": "sklearn:load_iris", "target": "target"},
                "split": {"folds": 3},
                "search": {
                    "backends": ["sklearn", "xgboost"],
                    "trials": 60,
                    "block": 4,
                    "lookahead": 6,
                    "sklearn": {
                        "penalty": "l2",
                        "alpha": {"low": 0.3, "high": 3.0, "log": True, "extend": True},
                    },
                    "xgboost": {"rounds": 2, "eta": {"low": 0.01, "high": 0.05, "log": True}},
                },
            }
        )
    )


@pytest.fixture(scope="module")
def undisturbed(contest):
    ledger, watch = MemoryLedger(), Silent()
    running = search(contest, ledger=ledger, watch=watch)
    return running, running.run(), ledger, watch


def test_the_worse_backend_leaves_and_the_other_gets_its_trials(undisturbed):
    running, records, ledger, watch = undisturbed
    number = running.drops["xgboost"]
    assert list(running.drops) == ["xgboost"]
    assert ledger.history.drops == running.drops
    assert len(records) == 60
    assert {r.backend for r in records if r.number >= number} == {"sklearn"}
    told = [r for r in records if r.number <= number - 6]
    assert all([r.backend for r in told].count(name) >= 15 for name in running.arms)
    (words,) = [w for w in watch.said if "probability" in w]
    assert words.startswith("xgboost: its best loss is ")
    assert " of sklearn, worse with probability > 0.99" in words


def test_a_crowded_range_grows_and_the_search_goes_there(undisturbed):
    running, records, ledger, watch = undisturbed
    first = running.extensions[0]
    assert (first.backend, first.name, first.high) == ("sklearn", "alpha", 3.0)
    assert first.low == pytest.approx(0.03)
    assert ledger.history.extensions == running.extensions
    assert 1 <= len(running.extensions) <= 2
    asked = [(r.number, r.result.params["alpha"]) for r in records if r.backend == "sklearn"]
    assert all(0.3 <= a <= 3.0 for n, a in asked[1:] if n < first.number and a)
    assert any(0 < a < 0.3 for n, a in asked if n >= first.number)
    assert running.spaces["sklearn"].dimensions["alpha"].low == running.extensions[-1].low
    assert contains(watch.said, "search.sklearn.alpha", "lower end 0.3", "searched from 0.03 to 3")


def contains(said, *parts):
    return any(all(part in words for part in parts) for words in said)


class Killed(Exception):
    pass


class Stopping(SerialExecutor):
    """Is killed when a trial is to be run."""

    def __init__(self, planned, number):
        super().__init__(planned.problem, planned.backends, lambda: True)
        self.number = number

    def wait(self):
        if self.number in self.queue[0].numbers:
            raise Killed
        return super().wait()


def test_a_search_killed_again_and_again_has_the_same_trials_drops_and_ranges(contest, undisturbed):
    running, records, whole, _ = undisturbed
    turns = {e.number for e in running.extensions} | set(running.drops.values())
    stops = sorted({n + d for n in turns for d in (-6, -1, 0, 1)} | {30})
    ledger = MemoryLedger()
    for stop in stops:
        with pytest.raises(Killed):
            search(contest, ledger=ledger, history=ledger.begin(None), executor=Stopping(contest, stop)).run()
    assert sorted(ledger.history.records) == list(range(stops[-1]))
    last = search(contest, ledger=ledger, history=ledger.begin(None))
    assert told(last.run()) == told(records)
    assert (last.drops, last.extensions) == (
        running.drops,
        running.extensions,
    )
    assert last.spaces == running.spaces
    assert ledger.history.extensions == whole.history.extensions


@pytest.fixture(scope="module")
def pinned(contest):
    """The same contest, the linear models' range as the user gave it."""
    linear = contest.resolved["sklearn"]
    given = replace(linear.dimensions["alpha"], extend=False)
    space = replace(linear, dimensions={**linear.dimensions, "alpha": given})
    return replace(contest, resolved={**contest.resolved, "sklearn": space})


def test_what_the_ledger_holds_is_not_decided_anew(contest, pinned):
    """Trials that were run without a race and within their range are taken as they are."""
    ledger, watch = MemoryLedger(), Silent()
    records = search(pinned, ledger=ledger, race=False).run()
    again = search(contest, history=History(dict(ledger.history.records)), watch=watch)
    assert told(again.run()) == told(records)
    assert (again.drops, again.extensions, watch.said) == ({}, [], [])


def test_a_hole_where_a_range_has_grown_is_filled_with_the_same_trials(contest, undisturbed):
    running, records, ledger, _ = undisturbed
    begun = running.extensions[0].number
    kept = {n: r for n, r in ledger.history.records.items() if not begun <= n < begun + 4}
    history = History(kept, dict(running.drops), extensions=list(running.extensions))
    assert told(search(contest, history=history).run()) == told(records)


@pytest.mark.slow
def test_a_study_resumed_from_the_store_decides_as_an_undisturbed_one(contest, undisturbed, store):
    """Killed just before the drop: the two best trials' predictions come back from their runs."""
    running, records, _, _ = undisturbed
    killed, again = MlflowLedger(), MlflowLedger()
    history, stop = killed.begin(study_header(contest, False)), running.drops["xgboost"] - 1
    with pytest.raises(Killed):
        search(contest, ledger=killed, history=history, executor=Stopping(contest, stop)).run()
    killed.abandon("KILLED")
    history = again.begin(study_header(contest, False))
    assert sorted(history.records) == list(range(stop))
    assert history.extensions
    last = search(contest, ledger=again, history=history)
    assert told(last.run()) == told(records)
    assert (last.drops, last.extensions) == (running.drops, running.extensions)


def test_without_a_race_nobody_leaves(contest):
    running = search(contest, race=False)
    assert [r.backend for r in running.run()].count("xgboost") == 28
    assert running.drops == {}


def test_a_range_of_the_study_stays_as_it_was_given_and_that_is_said_once(pinned):
    watch = Silent()
    running = search(pinned, watch=watch)
    records = running.run()
    assert len(records) == 60
    assert running.extensions == []
    alphas = [r.result.params["alpha"] for r in records[1:] if r.backend == "sklearn"]
    assert all(a == 0 or 0.3 <= a <= 3.0 for a in alphas)
    wanted = (
        "search.sklearn.alpha: the best trials crowd the lower end 0.3 of your range; "
        "extend = true lets the search go further"
    )
    assert watch.said.count(wanted) == 1


def test_a_backend_that_never_completes_a_trial_leaves(planned):
    class Failing(SerialExecutor):
        def wait(self):
            done = super().wait()
            if done.work.backend == "sklearn":
                return done
            failed = [TrialResult(State.FAILED, c.params, reason="diverged") for c in done.work.candidates]
            return type(done)(done.work, failed, done.started, done.ended)

    watch = Silent()
    failing = Failing(planned.problem, planned.backends, lambda: True)
    records = search(planned, executor=failing, trials=44, watch=watch).run()
    assert 15 <= [r.backend for r in records].count("xgboost") < 22
    assert contains(watch.said, "xgboost: none of its", "trials completed")


def test_a_backend_with_nothing_left_to_try_neither_loses_nor_holds_up_the_race(contest):
    """Two configurations of the linear models are tried whole; boosting, alone then, goes on though it is worse."""
    running = search(contest)
    arm = running.arms["sklearn"]
    arm.proposer._list = [dict(contest.defaults["sklearn"]) for _ in range(2)]
    records = running.run()
    assert running.drops == {}
    assert [r.backend for r in records].count("xgboost") == 58


def test_nobody_leaves_for_one_that_has_not_use_for_all_the_trials(contest):
    """Of 26 settings of the linear models some are left when boosting is known to be worse."""
    few = {"penalty": "l2", "l1_ratio": 0.5, "alpha": [0.01 * 1.2**i for i in range(26)]}
    running = search(plan(contest.study.updated(search={"sklearn": few})))
    records = running.run()
    assert running.arms["sklearn"].left == 0
    assert [r.backend for r in records].count("xgboost") == 34


class Importing(SerialExecutor):
    """One backend's first trial comes a quarter of an hour late, as if its library had had to be imported."""

    came = False

    def wait(self):
        done = super().wait()
        late = done.work.backend == "xgboost" and not self.came
        self.came |= late
        return replace(done, started=done.started - 900 * late)


def test_a_backend_does_not_leave_for_what_comes_once(planned):
    executor = Importing(planned.problem, planned.backends, lambda: True)
    found = search(planned, time_left=lambda: 60.0, executor=executor, race=False)
    records = found.run()
    assert found.drops == {}
    assert sum(record.backend == "xgboost" for record in records) == 6


class Third(BoostedBackend):
    """A family that is dearer than the boosted one, and fits a block as a whole."""

    name, rank, batched = "third", 2, True


def with_a_third(planned):
    return replace(
        planned,
        backends={**planned.backends, "third": Third()},
        resolved={**planned.resolved, "third": planned.resolved["xgboost"]},
    )


def test_a_family_that_had_no_turn_is_expected_to_cost_what_the_dearest_simpler_one_does(planned):
    more = with_a_third(planned)
    slow = Slow(more.problem, more.backends, lambda: True)
    dear, cheap = search(more, time_left=lambda: 50.0, executor=slow), search(more)
    records = dear.run()
    assert dear.sat_out == {"third": 4, "xgboost": 6}
    assert {r.backend for r in records} == {"sklearn", "xgboost"}
    assert "third" in {r.backend for r in cheap.run()}
    assert cheap.sat_out == {}


class Scored(SerialExecutor):
    """Gives all trials of a backend the same loss."""

    def wait(self):
        done = super().wait()
        loss = self.losses.get(done.work.backend, 0.4)
        return replace(done, results=[replace(result, loss=loss) for result in done.results])


@pytest.mark.parametrize(
    ("opening", "linear", "tried"),
    [
        (0.0, 9.0, True),
        (16.0, 9.0, True),
        (18.0, 9.0, False),
        (18.0, 0.4, True),
        (36.0, 0.4, True),
        (38.0, 0.4, False),
    ],
)
def test_a_family_is_tried_for_a_share_of_the_time_left(planned, opening, linear, tried):
    more = with_a_third(planned)
    executor = Scored(more.problem, more.backends, lambda: True)
    executor.losses = {"sklearn": linear, "xgboost": 0.4}
    running = search(more, time_left=lambda: 50.0, executor=executor, race=False)
    running.arms["third"].opening = opening
    assert ("third" in {r.backend for r in running.run()}) is tried
    assert running.sat_out == ({} if tried else {"third": 4})


def test_a_family_that_was_tried_is_judged_by_its_own_trials(planned):
    ledger = MemoryLedger()
    whole = told(search(planned, ledger=ledger).run())
    history = History({n: r for n, r in ledger.history.records.items() if n < 4})
    running = search(planned, history=history, time_left=lambda: 50.0)
    running.arms["xgboost"].opening = 49.0
    assert told(running.run()) == whole
    assert running.referee.turns == []


class Dear(Scored):
    """Boosted trials take so long that a turn of four takes 20 seconds."""

    def wait(self):
        done = super().wait()
        if done.work.backend == "sklearn":
            return done
        results = [replace(result, seconds=5.0) for result in done.results]
        return replace(done, results=results, ended=done.started + 5.0)


def dear(contest, best, **options):
    executor = Dear(contest.problem, contest.backends, lambda: True)
    executor.losses = {best: 0.2}
    return search(contest, executor=executor, race=False, trials=24, **options)


def test_a_turn_of_a_backend_that_does_not_lead_is_for_a_third_of_the_time_left(contest):
    ledger = MemoryLedger()
    records = dear(contest, "sklearn", time_left=lambda: 31.0, ledger=ledger).run()
    backends = [r.backend for r in records]
    turn = ["sklearn"] * 4 + ["xgboost"] * 2
    assert backends == ["sklearn"] * 4 + ["xgboost"] * 4 + turn * 2 + ["sklearn"] * 4
    assert ledger.history.turns == [Turn(12, "xgboost", 2), Turn(18, "xgboost", 2)]
    assert told(dear(contest, "sklearn", history=ledger.begin(None)).run()) == told(records)


def test_a_shorter_turn_stays_so_when_its_trials_were_lost_with_the_driver(contest):
    ledger = MemoryLedger()
    records = dear(contest, "sklearn", time_left=lambda: 31.0, ledger=ledger).run()
    history = ledger.begin(None)
    history.records = {n: r for n, r in history.records.items() if n < 12}
    history.turns = history.turns[:1]
    again = dear(contest, "sklearn", history=history, time_left=lambda: 31.0)
    assert told(again.run()) == told(records)


def test_a_backend_that_leads_has_whole_turns_and_all_the_time(contest):
    running = dear(contest, "xgboost", time_left=lambda: 6.0)
    assert [r.backend for r in running.run()].count("xgboost") == 12
    assert running.referee.turns == []


@pytest.mark.parametrize(("opening", "trials"), [(0.0, 4), (40.0, 4), (41.0, 3), (160.0, 1), (161.0, 0)])
def test_the_first_turn_goes_by_what_other_tables_let_expect(contest, opening, trials):
    running = dear(contest, "sklearn", time_left=lambda: 120.0)
    running.arms["xgboost"].opening = opening
    assert [r.backend for r in running.run()[4:8]].count("xgboost") == trials


def test_where_the_best_backend_does_not_fit_the_others_go_on(contest):
    """Boosting leads and takes 5 of the 4 seconds left; the linear models have what there is."""
    running = dear(contest, "xgboost", time_left=lambda: 4.0)
    records = running.run()
    assert len(records) == 24
    assert running.sat_out == {"xgboost": 12}
