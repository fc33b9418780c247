"""Study files full of nonsense: whatever they hold, a plan comes out of them or one typed error."""

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from autoreg.errors import AutoregError
from autoreg.planning import plan
from autoreg.spec import Study, load_study, parse_study

KEYS = ["name", "data", "split", "search", "select", "registry", "source", "target", "id", "group", "time"]
KEYS += [
    "holdout",
    "folds",
    "metric",
    "backends",
    "trials",
    "timeout",
    "seed",
    "sampler",
    "block",
    "lookahead",
]
KEYS += ["sklearn", "xgboost", "keras", "alpha", "penalty", "hidden", "dropout", "low", "high", "log", "off"]
KEYS += ["rule", "model", "alias", "extend", "integer", "query", "task", "mode", "repeats", "nested", "final"]
VALUES = [
    "sklearn:load_iris",
    "target",
    "1e400",
    "nan",
    "-inf",
    "10m",
    "l1",
    "128-64",
    "tpe",
    "",
    "\x00",
    "${X}",
]
WORDS = [
    "sklearn",
    "xgboost",
    "keras",
    "log_loss",
    "accuracy",
    "roc_auc",
    "none",
    "l2",
    "l1",
    "elasticnet",
    "auto",
    "binary",
    "multiclass",
    "regression",
]
WORDS += [
    "random",
    "grid",
    "tpe",
    "best",
    "one_se",
    "single",
    "blend",
    "refit",
    "balanced",
    "holdout",
    "nested",
    "true",
    "1h",
    "target",
    "sepal",
    "length",
    "(cm)",
]
plain = st.one_of(
    st.integers(-2, 20),
    st.floats(0, 1),
    st.sampled_from(WORDS),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(VALUES),
    st.text(max_size=8),
)
ends = st.one_of(st.floats(0, 10), st.integers(-3, 300))
ranges = st.fixed_dictionaries(
    {"low": ends, "high": ends},
    optional={name: st.booleans() for name in ("log", "off", "integer", "extend")},
)
nested = st.one_of(
    plain,
    ranges,
    st.lists(plain, max_size=4),
    st.dictionaries(st.sampled_from(KEYS), st.one_of(plain, st.lists(plain, max_size=3)), max_size=4),
)


def _paths(model, head=()):
    """Every place of a study file that has a meaning."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _paths(inner, (*head, name))
        else:
            yield (*head, name)


KNOWN = [
    *_paths(Study),
    *(("search", b, n) for b in ("sklearn", "xgboost", "keras") for n in ("alpha", "penalty")),
]
known = st.sampled_from(KNOWN)
places = st.one_of(known, known, known, known, st.lists(st.sampled_from(KEYS), min_size=1, max_size=3))


def _changed(raw, path, value):
    """A copy of a study with one place set."""
    head, *rest = path
    inner = raw.get(head)
    value = _changed(inner if isinstance(inner, dict) else {}, rest, value) if rest else value
    return {**raw, head: value}


def fuzzed(place, examples):
    """Study files with places of nonsense, and texts that are no study files: typed errors only."""
    sound = {
        "name": "fuzz",
        "data": {"source": "sklearn:load_iris", "target": "target"},
        "search": {"backends": ["sklearn"], "trials": 8},
    }

    @given_examples(examples)
    @given(
        st.lists(st.tuples(places, nested), min_size=1, max_size=2), st.binary(max_size=40), st.integers(0, 4)
    )
    def one(changes, noise, text):
        raw = sound
        for path, value in changes:
            raw = _changed(raw, path, value)
        try:
            if not text:
                place.write_bytes(noise + b"\n[data]\nsource = 'x'\n" + noise)
                load_study(place)
            else:
                place.write_text(repr(raw), errors="replace")
                plan(parse_study(raw))
        except AutoregError as error:
            if not str(error).strip() or error.exit_code not in (64, 65):
                raise RuntimeError(f"exit code {error.exit_code}, message '{error}'") from error

    one()


def given_examples(examples):
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # a history has a few steps: there is little to shrink
        suppress_health_check=list(HealthCheck),
    )
