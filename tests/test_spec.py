import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreg.errors import StudyError
from autoreg.spec import load_study, parse_study, reference
from autoreg.spec_parts import parse_duration
from autoreg.trial import Choice, Range

MINIMAL = 'name = "x"\n[data]\nsource = "a.csv"\ntarget = "y"\n'


def read(study_file, more=""):
    return load_study(study_file(MINIMAL + more))


def test_three_keys_are_enough(study_file):
    study = read(study_file)
    assert study.search.backends == ("sklearn", "xgboost", "keras")
    assert (study.search.trials, study.search.timeout, study.split.holdout, study.model) == (
        60,
        600.0,
        0.2,
        "x",
    )


def test_a_value_fixes_a_list_chooses_a_table_is_a_range(study_file):
    more = '[search.keras]\nhidden = ["64", "128-64"]\nactivation = "relu"\ndropout = {low = 0.05, high = 0.6, off = true}\n'
    space = read(study_file, more).search.space("keras")
    assert space["hidden"] == Choice(("64", "128-64"))
    assert space["activation"] == "relu"
    assert space["dropout"] == Range(0.05, 0.6, off=True)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("[search]\ntrialz = 3\n", "unknown key 'search.trialz' (did you mean 'trials'?)"),
        ("[serach]\ntrials = 3\n", "unknown key 'serach' (did you mean 'search'?)"),
        ("[search]\ntrials = 0\n", "search.trials"),
        ('[search]\ntrials = "many"\n', "'many'"),
        ('[search]\ntimeout = "soon"\n', "'90s', '10m', '1h'"),
        ("[search]\nbackends = []\n", "search.backends"),
        ('[search]\nbackends = ["keras", "keras"]\n', "must differ"),
        ("[split]\nholdout = 0.9\n", "split.holdout"),
        ("[search.keras]\ndropout = {low = 0.6, high = 0.1}\n", "low must be below high"),
        ("[search.keras]\ndropout = {low = 0.0, high = 0.1, log = true}\n", "low > 0"),
        ('[search.keras]\ndropout = {low = "a", high = 0.1}\n', "search.keras.dropout.low"),
        ("[search.keras]\ndropout = {low = 0.1, hihg = 0.2}\n", "did you mean 'high'"),
        ("[search.keras]\ndropout = []\n", "at least one"),
        ("[search.keras]\nalpha = {low = 0.1, high = 1.0, extend = true}\n", "log = true"),
    ],
)
def test_each_mistake_is_one_clear_line(study_file, more, words):
    with pytest.raises(StudyError) as caught:
        read(study_file, more)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_break_in_a_key_does_not_break_the_line():
    with pytest.raises(StudyError) as caught:
        parse_study({"name": "x", "data": {"source": "a", "target": "b"}, "spl\nit": 1})
    assert "\n" not in str(caught.value)


def test_missing_and_broken_files(tmp_path, study_file):
    with pytest.raises(StudyError, match="does not exist"):
        load_study(tmp_path / "none.toml")
    with pytest.raises(StudyError, match="not valid TOML"):
        load_study(study_file("name = "))
    with pytest.raises(StudyError, match=r"data\.target.* is missing"):
        load_study(study_file('name = "x"\n[data]\nsource = "a"\n'))
    with pytest.raises(StudyError, match="is a folder"):
        load_study(tmp_path)
    (tmp_path / "latin.toml").write_bytes('name = "é"'.encode("latin-1"))
    with pytest.raises(StudyError, match="cannot be read"):
        load_study(tmp_path / "latin.toml")


def test_the_command_line_overrides_and_is_checked_again(study_file):
    study = read(study_file, "[search.keras]\ndropout = {low = 0.1, high = 0.2}\n")
    changed = study.updated(
        search={"trials": 5, "backends": "sklearn,keras", "timeout": None}, data={"source": "b.csv"}
    )
    assert (changed.search.trials, changed.search.backends, changed.data.source) == (
        5,
        ("sklearn", "keras"),
        "b.csv",
    )
    assert changed.search.space("keras") == study.search.space("keras")
    assert changed.folder == study.folder
    with pytest.raises(StudyError, match=r"search\.trials"):
        study.updated(search={"trials": -1})


def test_relative_paths_start_at_the_study_file(study_file):
    path = study_file(MINIMAL)
    assert load_study(path).folder == path.parent


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), (30, 30), ("2d", 172800)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


def test_the_reference_names_every_key():
    text = reference()
    for key in ("data.source", "split.folds", "search.lookahead", "registry.alias", "select.rule"):
        assert f"`{key}`" in text


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
sections = st.fixed_dictionaries(
    {"name": st.just("x"), "data": st.just({"source": "a", "target": "b"})},
    optional={key: json_like for key in ("split", "search", "select", "registry", "other")},
)


@given(sections | st.dictionaries(st.text(max_size=8), json_like, max_size=4))
def test_whatever_a_study_holds_the_error_is_ours(raw):
    try:
        parse_study(raw)
    except StudyError as error:
        assert "\n" not in str(error)


@given(st.text(max_size=60))
def test_whatever_a_file_holds_the_error_is_ours(text):
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    with pytest.raises(StudyError):
        parse_study(raw)


ODD_NAMES = ["a\nb", "a\x00b", "a\x1b[31mb", " a", "a ", "a\u202eb", "a\ud800", "", "x" * 300]


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("key", ["name", "registry.model"])
def test_names_that_no_log_or_store_can_show_are_refused(key, name):
    raw = {"name": "x", "data": {"source": "a", "target": "b"}, "registry": {}}
    (raw if key == "name" else raw["registry"])[key.rpartition(".")[2]] = name
    with pytest.raises(StudyError) as error:
        parse_study(raw)
    assert str(error.value).startswith(f"study: {key}: ")
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "name", ["..", ".", "a.b", "größe 大 😀", "a'b\"c", "<b>x", "=1+2", "%s${HOME}`id`", "x" * 200]
)
def test_other_names_are_only_names(name):
    assert parse_study({"name": name, "data": {"source": "a", "target": "b"}}).model == name


def test_names_with_a_slash_need_a_model_of_their_own():
    raw = {"name": "../a/b:c", "data": {"source": "a", "target": "b"}}
    with pytest.raises(StudyError, match=r"set registry\.model"):
        parse_study(raw)
    assert parse_study({**raw, "registry": {"model": "m"}}).name == "../a/b:c"


@pytest.mark.parametrize(
    "source", ["/etc/hostname", "../t.csv", "file:///tmp/t.csv", "~/t.csv", "https://h/t.csv"]
)
def test_a_source_may_lie_anywhere(source):
    assert parse_study({"name": "x", "data": {"source": source, "target": "y"}}).data.source == source
