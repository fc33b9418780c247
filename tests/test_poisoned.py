"""Packages that someone has tampered with are refused in one line, and nothing in them is run."""

import hashlib
import io
import json
import pickle
import zipfile

import numpy as np
import pytest

from autoreg.__main__ import main
from autoreg.data import encode, load_table
from autoreg.errors import DataError
from autoreg.registry import load_package
from autoreg.serving import BoosterMember, LinearMember, NetworkMember, Package
from autoreg.spec import DataSpec
from autoreg.trial import Fold

FILES = {"linear": "linear.npz", "booster": "booster.ubj", "network": "network.keras"}


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return open, (str(self.place), "w")


@pytest.fixture(scope="module")
def chain():
    table = load_table(DataSpec(source="sklearn:make_moons?n_samples=60", target="target"), "m", ".")
    rows = np.arange(60)
    data, preprocessor = encode(table, Fold(rows, rows[:0], rows[:0]), "dense", None)
    return table, preprocessor, data.train.X, data.train.y


def linear(X, y):
    return LinearMember(np.ones((X.shape[1], 1)), np.zeros(1), "binary")


def booster(X, y):
    import xgboost

    from autoreg.serving import booster_matrix

    matrix = booster_matrix(X, [0] * X.shape[1], label=y)
    return BoosterMember(
        xgboost.train({"objective": "binary:logistic"}, matrix, 2), [0] * X.shape[1], "binary"
    )


def network(X, y):
    import keras

    inputs = keras.Input((X.shape[1],))
    return NetworkMember(keras.Model(inputs, keras.layers.Dense(1)(inputs)), "binary")


@pytest.fixture(params=[linear, booster, network], ids=list(FILES))
def package(request, chain, tmp_path):
    """A folder with a package of one member, the member's file in it, and the rows."""
    table, preprocessor, X, y = chain
    folder = tmp_path / "package"
    folder.mkdir()
    member = request.param(X, y)
    Package([(preprocessor, member, 1.0)], "binary", table.classes, list(table.features.columns)).save(folder)
    return folder, folder / "member_0" / FILES[member.kind], table.features


def forge(folder, file, content):
    """Replace a file and its entry in the list, as one who knows the format would."""
    file.write_bytes(content)
    place = folder / "package.json"
    about = json.loads(place.read_text())
    name = file.relative_to(folder).as_posix()
    about["files"][name] = [len(content), hashlib.sha256(content).hexdigest()]
    place.write_text(json.dumps(about))


def refused(folder, *words):
    with pytest.raises(DataError) as error:
        load_package(str(folder))
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith(f"model '{folder}' is damaged or of another format: ")
    assert all(word in text for word in words), text


def test_an_untouched_package_loads(package):
    folder, file, rows = package
    assert load_package(str(folder)).predict(rows).shape == (60, 3)
    about = json.loads((folder / "package.json").read_text())
    assert set(about["files"]) == {"preprocess_0.json", f"member_0/{file.name}"}


def test_a_package_from_before_the_list_of_files_loads(package):
    folder, _, rows = package
    about = json.loads((folder / "package.json").read_text())
    del about["files"]
    (folder / "package.json").write_text(json.dumps(about))
    assert load_package(str(folder)).predict(rows).shape == (60, 3)


@pytest.mark.parametrize("listed", [False, True])
def test_a_pickle_in_the_place_of_a_file_is_refused_and_not_run(package, tmp_path, listed):
    folder, file, _ = package
    content = pickle.dumps(Bomb(tmp_path / "ran"))
    if listed:
        forge(folder, file, content)
        refused(folder)
    else:
        file.write_bytes(content)
        refused(folder, file.name)
    assert not (tmp_path / "ran").exists()


def test_a_changed_byte_or_a_missing_or_unlisted_file_is_refused(package):
    folder, file, _ = package
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused(folder, file.name, "SHA-256")
    file.write_bytes(whole + b" " * 1000)
    refused(folder, file.name, f"{len(whole) + 1000} bytes where {len(whole)} were written")
    file.unlink()
    refused(folder, file.name, "missing")
    about = json.loads((folder / "package.json").read_text())
    del about["files"][f"member_0/{file.name}"]
    file.write_bytes(whole)
    (folder / "package.json").write_text(json.dumps(about))
    refused(folder, file.name, "not in its list")


def test_preprocessing_that_was_changed_is_refused(package):
    folder, _, _ = package
    place = folder / "preprocess_0.json"
    place.write_text(place.read_text().replace("0.", "1.", 1))
    refused(folder, place.name, "SHA-256")


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1}, {"members": None}, {"members": [{"kind": "pickle", "preprocess": 0}]}, {"temperature": "hot"},
        {"members": [{"kind": "linear", "preprocess": "../../x"}]}, {"files": []}, {"format": None},
    ],
)  # fmt: skip
def test_nonsense_in_the_description_is_refused(chain, tmp_path, change):
    table, preprocessor, X, y = chain
    chains = [(preprocessor, linear(X, y), 1.0)]
    Package(chains, "binary", table.classes, list(table.features.columns)).save(tmp_path)
    place = tmp_path / "package.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | change))
    refused(tmp_path)
    place.write_text("[" * 100_000)
    refused(tmp_path)


def archive(*entries, compress=zipfile.ZIP_STORED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compress) as made:
        for name, data in entries:
            made.writestr(name, data)
    return content.getvalue()


def npy(value, pickled=False):
    content = io.BytesIO()
    np.save(content, value, allow_pickle=pickled)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda place: archive(("coef.npy", npy(np.ones(2))), ("../../intercept.npy", npy(np.ones(1)))), "'../../intercept.npy'"),
        (lambda place: archive(("coef.npy", npy(np.ones(2)))), "should hold coef.npy, intercept.npy alone"),
        (lambda place: archive(("coef.npy", npy(np.zeros(10**6))), ("intercept.npy", npy(np.ones(1))), compress=zipfile.ZIP_DEFLATED), "unpack to 8000"),
        (lambda place: archive(("coef.npy", npy(np.array([Bomb(place)], object), True)), ("intercept.npy", npy(np.ones(1)))), "allow_pickle"),
        (lambda place: archive(("coef.npy", npy(np.ones(2)).replace(b"(2,), }", b"(%d,)}" % 10**15)), ("intercept.npy", npy(np.ones(1)))), ""),
        (lambda place: npy(np.ones(2)), "no archive"),
        (lambda place: b"", "no archive"),
    ],
    ids=["path outside", "member missing", "oversized", "objects", "huge shape", "no archive", "empty"],
)  # fmt: skip
def test_archives_of_linear_models(chain, tmp_path, content, words):
    table, preprocessor, X, y = chain
    folder = tmp_path / "package"
    folder.mkdir()
    chains = [(preprocessor, linear(X, y), 1.0)]
    Package(chains, "binary", table.classes, list(table.features.columns)).save(folder)
    forge(folder, folder / "member_0" / "linear.npz", content(tmp_path / "ran"))
    refused(folder, words)
    assert not (tmp_path / "ran").exists()


def layer(module, name, config):
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


@pytest.mark.parametrize(
    ("added", "words"),
    [
        (layer("keras.layers", "Lambda", {"name": "x"}), "keras.layers.Lambda"),
        (layer("builtins", "function", "eval"), "builtins.function"),
        (layer("os", "Dense", {}), "os.Dense"),
        (layer("keras.layers", "TextVectorization", {"vocabulary": "/etc/passwd"}), "TextVectorization"),
        (layer("keras.utils", "get_file", {}), "keras.utils.get_file"),
        (layer("keras.layers", "TFSMLayer", {"filepath": "/tmp/x"}), "TFSMLayer"),
        ({"module": "os", "class_name": "Functional", "config": {}}, "os.Functional"),
        ({"registered_name": "mine>Layer"}, "None"),
    ],
)
def test_networks_of_other_layers(chain, tmp_path, added, words):
    table, preprocessor, X, y = chain
    folder = tmp_path / "package"
    folder.mkdir()
    chains = [(preprocessor, network(X, y), 1.0)]
    Package(chains, "binary", table.classes, list(table.features.columns)).save(folder)
    file = folder / "member_0" / "network.keras"
    with zipfile.ZipFile(file) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["layers"].append(added)
    parts["config.json"] = json.dumps(config).encode()
    forge(folder, file, archive(*parts.items()))
    refused(folder, words)


def test_the_command_ends_with_its_code_and_one_line(chain, tmp_path, capsys, monkeypatch):
    table, preprocessor, X, y = chain
    folder = tmp_path / "package"
    folder.mkdir()
    chains = [(preprocessor, linear(X, y), 1.0)]
    Package(chains, "binary", table.classes, list(table.features.columns)).save(folder)
    (folder / "member_0" / "linear.npz").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    table.features.to_csv(tmp_path / "rows.csv", index=False)
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(folder), "rows.csv", "out.csv"]) == 65
    told = capsys.readouterr().err.strip()
    assert told.startswith("autoreg: model ")
    assert "\n" not in told
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out.csv").exists()
