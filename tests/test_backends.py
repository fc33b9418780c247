"""The contract every backend keeps, checked over all of them."""

import subprocess
import sys

import numpy as np
import pytest
from backend_data import encoded, fit, params, sizes

from autoreg.backends import BACKENDS, Fit, FitJob, get_backend
from autoreg.errors import StudyError
from autoreg.metrics import loss_rows
from autoreg.penalties import PENALTIES
from autoreg.serving import MEMBERS
from autoreg.space import resolve
from autoreg.trial import Choice, Encoded, Range

# Importing TensorFlow takes as long as all the other tests here, so networks are left to the slow round.
NAMES = [pytest.param(name, marks=[pytest.mark.slow] if name == "keras" else []) for name in BACKENDS]
TASKS = [("binary", 2), ("multiclass", 3), ("multiclass", 10), ("regression", 0)]
SHORT = {"sklearn": {}, "xgboost": {"rounds": 12}, "keras": {"hidden": "8", "epochs": 4}}
PACKAGES = {"sklearn": ("sklearn", "scikit-learn"), "xgboost": ("xgboost", "xgboost")}


@pytest.fixture(params=NAMES)
def backend(request):
    return get_backend(request.param)


def short(backend, data, **more):
    return fit(backend, data, **{**SHORT[backend.name], **more})


def same(a, b):
    return np.array_equal(a, b, equal_nan=True)


def test_it_says_what_it_is(backend):
    assert BACKENDS[backend.name]
    assert backend.encoding in ("dense", "tree")
    assert backend.rank == list(BACKENDS).index(backend.name)
    space = backend.space(sizes(encoded(backend.encoding)))
    assert set(backend.shared) <= set(space)
    assert {"penalty", "alpha", "l1_ratio", "patience"} <= set(space)


@pytest.mark.parametrize(("task", "k"), TASKS)
def test_its_own_space_and_default_pass_its_own_check(backend, task, k):
    data = encoded(backend.encoding, task, k)
    space, default = backend.space(sizes(data)), backend.default(sizes(data))
    backend.check(space, task)
    backend.check(default, task)
    assert set(default) <= set(space)
    assert set(resolve(backend, sizes(data), {}, "tpe").default) == set(space)


@pytest.mark.parametrize(("task", "k"), TASKS)
def test_same_seed_same_result(backend, task, k):
    data = encoded(backend.encoding, task, k)
    one, two = (short(backend, data, seed=3) for _ in range(2))
    assert same(one.member.predict(data.score.X), two.member.predict(data.score.X))
    assert one.params == two.params
    assert one.native == two.native
    assert (one.rounds, one.complexity) == (two.rounds, two.complexity)
    assert all(same(one.curves[name], two.curves[name]) for name in one.curves)


@pytest.mark.parametrize(("task", "k"), TASKS)
def test_a_saved_member_predicts_the_same(backend, task, k, tmp_path):
    data = encoded(backend.encoding, task, k)
    member = short(backend, data).member
    meta = member.save(tmp_path)
    again = MEMBERS[member.kind].load(tmp_path, meta)
    tolerance = 1e-5 if backend.name == "keras" else 0.0
    np.testing.assert_allclose(
        again.predict(data.score.X), member.predict(data.score.X), rtol=tolerance, atol=tolerance
    )
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".pkl", ".pickle", ".joblib")]


@pytest.mark.parametrize(("task", "k"), TASKS)
def test_inputs_are_left_alone(backend, task, k):
    weight = np.linspace(0.0, 2.0, 150)
    data = encoded(backend.encoding, task, k, weight=weight)
    parts = [data.train, data.stop, data.score]
    before = [(p.X.copy(), p.y.copy(), p.weight.copy()) for p in parts]
    for part in parts:
        for array in (part.X, part.y, part.weight):
            array.flags.writeable = False
    job = FitJob(params(backend, data, **SHORT[backend.name]), data, 0)
    asked = dict(job.params)
    assert isinstance(backend.fit([job])[0], Fit)
    assert dict(job.params) == asked
    for part, (X, y, w) in zip(parts, before, strict=True):
        assert same(part.X, X)
        assert same(part.y, y)
        assert same(part.weight, w)


@pytest.mark.parametrize("k", [2, 3, 10])
def test_probabilities_cover_every_class_even_an_absent_one(backend, k):
    task = "binary" if k == 2 else "multiclass"
    data = encoded(backend.encoding, task, k, classes=[0] if k == 2 else range(1, k))
    p = short(backend, data).member.predict(data.score.X)
    assert p.shape == (len(data.score), k)
    assert p.dtype == np.float64
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-5)
    assert (p > 0).all()
    if backend.name != "keras":  # a network of 4 epochs has barely left its start
        assert (p[:, 1] if k == 2 else p[:, 0]).mean() < 0.1
    assert np.isfinite(loss_rows(task, data.score.y, p)).all()


def test_regression_speaks_the_target_s_units(backend):
    data = encoded(backend.encoding, "regression", 0)
    more = {"epochs": 60, "learning_rate": 0.02} if backend.name == "keras" else {"rounds": 40}
    values = fit(backend, data, **({} if backend.name == "sklearn" else more)).member.predict(data.score.X)
    assert values.shape == (len(data.score),)
    residual = np.mean((values - data.score.y) ** 2) / np.var(data.score.y)
    assert residual < 0.5


@pytest.mark.parametrize("penalty", PENALTIES)
def test_effective_and_native_parameters_are_told(backend, penalty):
    data = encoded(backend.encoding)
    done = short(backend, data, penalty=penalty, alpha=0.01, l1_ratio=0.25)
    assert done.params["penalty"] == penalty
    assert done.params["alpha"] == (0.0 if penalty == "none" else pytest.approx(0.01))
    assert done.params["l1_ratio"] == pytest.approx({"l1": 1.0, "elasticnet": 0.25}.get(penalty, 0.0))
    assert set(done.params) <= set(backend.space(sizes(data)))
    assert all(name.startswith(f"{backend.name}.") for name in done.native)
    assert all(
        isinstance(v, str | int | float | bool) for v in [*done.native.values(), *done.params.values()]
    )
    assert done.complexity > 0
    assert done.seconds > 0


@pytest.mark.parametrize(("task", "k"), TASKS)
def test_a_fit_without_stop_part_and_a_refit(backend, task, k):
    data = encoded(backend.encoding, task, k, stop=False)
    free = short(backend, data)
    assert isinstance(free, Fit)
    again = max(0, free.rounds - 2)
    refit = short(backend, data, exactly=again)
    assert refit.rounds == (again or free.rounds)


def test_a_refit_repeats_the_rounds_it_is_told(backend):
    given = {"patience": 2, **({"solver": "sgd"} if backend.name == "sklearn" else SHORT[backend.name])}
    data = encoded(backend.encoding)
    stopped = fit(backend, data, **given)
    again = fit(backend, data, exactly=stopped.rounds, **given)
    assert again.rounds == stopped.rounds > 0
    assert len(stopped.curves["train_loss"]) == len(stopped.curves["stop_loss"]) >= stopped.rounds
    np.testing.assert_allclose(
        again.member.predict(data.score.X), stopped.member.predict(data.score.X), rtol=1e-5, atol=1e-6
    )


def test_it_keeps_the_order_of_its_jobs(backend):
    folds = [encoded(backend.encoding, seed=s) for s in (1, 2)]
    jobs = [FitJob(params(backend, data, **SHORT[backend.name]), data, 0) for data in folds]
    together = backend.fit(jobs)
    assert backend.fit([]) == []
    for job, done in zip(jobs, together, strict=True):
        alone = backend.fit([job])[0]
        ours, other = (f.member.predict(job.data.score.X) for f in (done, alone))
        np.testing.assert_allclose(ours, other, rtol=0 if not backend.batched else 1e-3, atol=1e-6)


def test_unknown_names_and_impossible_values_are_refused_before_any_trial(backend):
    where = f"search.{backend.name}"
    for given, message in (
        ({"alhpa": 1.0}, rf"{where}.alhpa: unknown name \(did you mean 'alpha'\?\)"),
        ({"penalty": "l3"}, rf"{where}.penalty: expected one of none, l1, l2, elasticnet, found 'l3'"),
        ({"penalty": Choice(("l1", "ridge"))}, f"{where}.penalty: .*'ridge'"),
        ({"penalty": Range(0.0, 1.0)}, f"{where}.penalty: .* found a range"),
        ({"alpha": -1.0}, rf"{where}.alpha: expected a number of at least 0, found -1"),
        ({"alpha": "strong"}, f"{where}.alpha: .* found 'strong'"),
        ({"alpha": True}, f"{where}.alpha: .* found True"),
        ({"alpha": float("nan")}, f"{where}.alpha: .* found nan"),
        ({"l1_ratio": Range(0.5, 1.5)}, rf"{where}.l1_ratio: .*\[0, 1\], found high = 1.5"),
        ({"patience": 2.5}, f"{where}.patience: expected a whole number .* found 2.5"),
    ):
        with pytest.raises(StudyError, match=message):
            backend.check(given, "binary")


def test_a_stop_part_never_trains(backend):
    data = encoded(backend.encoding)
    stop = data.stop
    turned = type(stop)(stop.X, 1 - stop.y, stop.weight)
    other = Encoded(data.train, turned, data.score, data.columns, data.levels, data.task, data.n_classes)
    given = SHORT[backend.name] | {"patience": 1000}
    one, two = (fit(backend, d, exactly=3, **given) for d in (data, other))
    assert same(one.member.predict(data.score.X), two.member.predict(data.score.X))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_library_is_named(name):
    module, package = PACKAGES[name]
    code = f"import sys; sys.modules[{module!r}] = None\n"
    code += f"from autoreg.backends import get_backend; get_backend({name!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    expected = f"StudyError: search.backends: '{name}' needs the package '{package}': pip install {package}"
    assert done.stderr.strip().splitlines()[-1].endswith(expected)


def test_an_unknown_backend_is_refused():
    with pytest.raises(StudyError, match="did you mean 'sklearn'"):
        get_backend("skleran")
