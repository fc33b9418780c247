"""Images as data: their sources, their encoding, what is made of them, and the models that take them."""

import gzip
import io
import json
import os
import struct
import subprocess
import sys
import urllib.request
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from fault_servers import answers, free_port, process
from PIL import Image
from sklearn.datasets import load_digits

from autoreg.cli.predicting import predict
from autoreg.data import encode, fit_preprocessor, images, load_table
from autoreg.data.hashing import bits, digests, mix, row_hashes
from autoreg.data.pixels import patches
from autoreg.drift import adversarial, compare, lines, new_rows, profile, row_keys
from autoreg.errors import DataError, StudyError
from autoreg.explain import importance
from autoreg.metrics import get_metric
from autoreg.serving import LinearMember, Package
from autoreg.spec import parse_study
from autoreg.trial import Fold

DIGITS = load_digits()
X, Y = DIGITS.images.astype(np.uint8), DIGITS.target
NOTHING = np.empty(0, np.int64)


def read(source, image=None, folder=Path(), frame=None, **data):
    spec = parse_study({"name": "s", "data": {"source": str(source), "target": "y", "image": image, **data}})
    return load_table(spec.data, "s", Path(folder), frame)


def refused(*args, **kwargs):
    with pytest.raises(DataError) as caught:
        read(*args, **kwargs)
    text = str(caught.value)
    assert "\n" not in text
    return text


def pixel_frame(values=X, y=Y, dtype=None):
    flat = values.reshape(len(values), -1)
    return pd.DataFrame(flat if dtype is None else flat.astype(dtype)).add_prefix("p").assign(y=y)


def write_idx(path, values, code=8):
    head = bytes([0, 0, code, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    content = head + values.astype(images.IDX[code]).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_folder(folder, n=60, scale=15):
    for i in range(n):
        place = folder / f"digit {Y[i]}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(X[i] * scale).save(place / f"{i:04d}.png")
    return folder


@pytest.mark.parametrize("image", [[28], [28, 28, 1, 1, 1], [28, 0], [8.0, 8], "8x8", [True, 8], 64, []])
def test_a_shape_is_two_to_four_whole_numbers(image):
    with pytest.raises(StudyError, match=r"data\.image: expected 2 to 4 whole numbers above 0"):
        read("x.csv", image)


def test_all_features_of_a_table_are_pixels_in_file_order():
    table = read("sklearn:load_digits", [8, 8, 1], target="target")
    assert table.image == (8, 8, 1)
    # Constant pixels stay: the first is 0 in every image.
    assert table.features.shape == (1797, 64)
    assert set(table.kinds.values()) == {"numeric"}
    np.testing.assert_array_equal(table.features.to_numpy().reshape(-1, 8, 8), X)
    assert "1797 images of 8 x 8, 1 channel, pixels from 0 to 16" in table.notes
    assert len(read("sklearn:load_digits", target="target").kinds) < 64


def test_what_a_table_of_images_may_not_be():
    frame = pixel_frame()
    assert "needs 100 pixel columns, the table has 64" in refused("t", [10, 10], frame=frame)
    odd = frame.assign(p3="dark")
    assert "column 'p3': expected pixels as numbers" in refused("t", [8, 8, 1], frame=odd)
    holes = pixel_frame(dtype=float)
    holes.loc[4, "p7"] = np.nan
    assert "missing or infinite (row 5, column 'p7')" in refused("t", [8, 8, 1], frame=holes)
    same = pixel_frame(np.full_like(X, 3))
    assert "every pixel of every image is 3" in refused("t", [8, 8, 1], frame=same)


def test_the_fingerprint_knows_values_and_shape_and_no_dtype():
    marks = {read("t", [8, 8, 1], frame=pixel_frame(dtype=d)).fingerprint for d in ("u1", "i8", "f4", "f8")}
    assert len(marks) == 1
    other = read("t", [64, 1], frame=pixel_frame()).fingerprint
    changed = X.copy()
    changed[5, 5, 5] += 1
    assert len(marks | {other, read("t", [8, 8, 1], frame=pixel_frame(changed)).fingerprint}) == 3


def test_a_mark_in_the_corner_is_told_in_one_line():
    marked = X.copy()
    marked[:, 0, 0], marked[:, 7, 0] = Y, Y + 1
    table = read("t", [8, 8, 1], frame=pixel_frame(marked))
    (told,) = [note for note in table.notes if "is there a mark in the images?" in note]
    assert told.startswith("warning: column 'p0' alone tells the target (errors avoided 1.000 on rows")
    assert told.endswith("), and so do 1 more: is there a mark in the images?")
    assert table.suspects == ("p0", "p56")


def test_npz_of_every_form(tmp_path):
    np.savez(tmp_path / "a.npz", X=X, y=Y)
    np.savez(
        tmp_path / "b.npz", x_train=X[:1000], y_train=Y[:1000, None], x_test=X[1000:], y_test=Y[1000:, None]
    )
    np.savez_compressed(tmp_path / "c.npz", X=X.reshape(-1, 64), y=Y)
    np.savez(tmp_path / "d.npz", X=X[:, None], y=Y.astype("U1"))
    a, b = read("a.npz", folder=tmp_path), read("b.npz", folder=tmp_path)
    assert a.image == b.image == (8, 8, 1)
    assert a.fingerprint == b.fingerprint
    assert "x_train and x_test were joined: autoreg divides the rows itself" in b.notes
    assert list(a.features.columns[:2]) == ["pixel_0", "pixel_1"]
    flat = read("c.npz", folder=tmp_path)
    assert (flat.image, list(flat.features.columns[:2])) == (
        None,
        ["x1", "x2"],
    )  # x0 is constant, and left out
    assert read("c.npz", [8, 8, 1], folder=tmp_path).fingerprint == a.fingerprint
    first = read("d.npz", [8, 8, 1], folder=tmp_path)
    assert "channels came first and were moved to the end" in first.notes
    np.testing.assert_array_equal(first.features, a.features)
    assert read("a.npz", [8, 8], folder=tmp_path).image == (8, 8)  # a series of 8 channels


def test_channels_are_moved_and_not_scrambled():
    colours = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    block, shape = images.shaped(colours, (4, 5, 3), "f", [])
    assert shape == (4, 5, 3)
    np.testing.assert_array_equal(block.reshape(2, 4, 5, 3)[..., 1], colours[:, 1])
    notes = []
    assert images.shaped(np.zeros((2, 3, 32, 32)), None, "f", notes)[1] == (3, 32, 32)
    assert notes == [
        "the last of the axes (3, 32, 32) is taken for channels; data.image = [32, 32, 3] says otherwise"
    ]


def test_idx_with_the_labels_beside_it(tmp_path):
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", X)
    write_idx(tmp_path / "train-labels-idx1-ubyte", Y)
    table = read("train-images-idx3-ubyte.gz", folder=tmp_path)
    assert table.image == (8, 8, 1)
    np.testing.assert_array_equal(table.features.to_numpy().reshape(-1, 8, 8), X)
    np.testing.assert_array_equal(table.target, Y)
    write_idx(tmp_path / "deep.idx3", X / 16, 13)
    with pytest.raises(DataError, match="labels of '.*deep.idx3' are expected beside it as 'deep.idx1'"):
        read("deep.idx3", folder=tmp_path)


def test_a_folder_with_one_sub_folder_a_class(tmp_path):
    write_folder(tmp_path / "d")
    (tmp_path / "d" / "readme.txt").write_text("hello")
    (tmp_path / "d" / "digit 0" / ".DS_Store").write_text("")
    (tmp_path / "d" / "digit 0" / "note.txt").write_text("")
    table = read("d", folder=tmp_path)
    assert (table.image, table.task) == ((8, 8, 1), "multiclass")
    assert table.classes == tuple(f"digit {i}" for i in range(10))
    order = sorted(range(60), key=lambda i: (f"digit {Y[i]}", i))
    np.testing.assert_array_equal(table.features.to_numpy().reshape(-1, 8, 8), X[order] * 15)
    assert "1 files in the folder are no images by their names and were passed over" in table.notes
    larger = read("d", [16, 10, 3], folder=tmp_path)
    assert (larger.image, larger.features.shape) == ((16, 10, 3), (60, 480))
    assert "60 of 60 images were resized to 16 x 10" in larger.notes


def test_names_that_spell_numbers_are_classes_all_the_same(tmp_path):
    for i in range(24):
        (tmp_path / str(Y[i])).mkdir(exist_ok=True)
        Image.fromarray(X[i]).save(tmp_path / str(Y[i]) / f"{i}.bmp")
    assert read(tmp_path).task == "multiclass"


def test_modes_of_images(tmp_path):
    colour = np.zeros((4, 6, 3), np.uint8)
    colour[..., 0] = 200
    deep = (np.arange(24, dtype=np.uint16) * 2621).reshape(4, 6)
    made = {
        "grey/a.png": Image.fromarray(colour[..., 0]),
        "grey/deep.png": Image.fromarray(deep),
        "red/c.png": Image.fromarray(colour),
        "red/p.gif": Image.fromarray(colour).convert("P", palette=Image.Palette.ADAPTIVE),
        "red/rgba.png": Image.fromarray(np.dstack([colour, colour[..., 0]])),
    }
    for name, image in made.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        image.save(tmp_path / name)
    found = images.read_images(str(tmp_path), Path(), None)
    assert (found.shape, found.files) == ((4, 6, 3), sorted(made))
    block = found.block.reshape(-1, 4, 6, 3)
    np.testing.assert_array_equal(block[1][..., 0], np.round(deep / 257))  # 16 bits are scaled, not cut off
    assert all((image == colour).all() for image in block[2:])
    grey = images.read_images(str(tmp_path), Path(), (4, 6, 1))
    assert (grey.block[0] == 200).all()


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(np.tile(np.arange(0, 240, 10, np.uint8), (8, 1))).save(
            tmp_path / label / "x.jpg", exif=exif
        )
    found = images.read_images(str(tmp_path), Path(), None)
    assert found.shape == (24, 8, 1)
    assert (np.diff(found.block[0].reshape(24, 8).astype(int), axis=0) > 0).all()


def damaged(tmp_path):
    """Sources that are no good, with what is said of them."""
    np.savez(tmp_path / "whole.npz", X=X, y=Y)
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", a=X, b=Y)
    np.savez(tmp_path / "objects.npz", X=np.array([[[{}]]] * 4, object), y=Y[:4])
    np.savez(tmp_path / "rows.npz", X=X, y=Y[:5])
    np.savez(tmp_path / "one.npz", X=X, y=np.zeros(len(X), int))
    np.savez(tmp_path / "words.npz", X=X.astype("U2"), y=Y)
    np.savez(tmp_path / "six.npz", X=X[:4, None, None, None], y=Y[:4])
    with zipfile.ZipFile(tmp_path / "huge.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        about = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000)}
        np.lib.format.write_array_header_1_0(header, about)
        archive.writestr("X.npy", header.getvalue())
        archive.writestr("y.npy", header.getvalue())
    write_idx(tmp_path / "t-images-idx3-ubyte.gz", X)
    write_idx(tmp_path / "t-labels-idx1-ubyte", Y)
    content = (tmp_path / "t-images-idx3-ubyte.gz").read_bytes()
    (tmp_path / "h-images-idx3-ubyte.gz").write_bytes(content[: len(content) // 2])
    (tmp_path / "s-images-idx3-ubyte").write_bytes(gzip.decompress(content)[:-9])
    (tmp_path / "m-images-idx3-ubyte").write_bytes(b"\1\2\3\4 not")
    bomb = bytes([0, 0, 8, 3]) + struct.pack(">3I", 60000, 60000, 60000)
    (tmp_path / "b-images-idx3-ubyte.gz").write_bytes(gzip.compress(bomb))
    for letter in "hsmb":
        write_idx(tmp_path / f"{letter}-labels-idx1-ubyte", Y)
    return {
        "half.npz": "damaged .npz", "text.npz": "damaged .npz", "gone.npz": "does not exist",
        "other.npz": "expected arrays X and y, or x_train and y_train; found a, b",
        "objects.npz": "holds Python objects", "rows.npz": "one label for each of 1797 images",
        "one.npz": "all 1797 images have the label 0", "words.npz": "expected pixels as numbers",
        "six.npz": "2 to 5 axes", "huge.npz": "GiB of values", "h-images-idx3-ubyte.gz": "cut off or damaged",
        "s-images-idx3-ubyte": "cut off or damaged", "m-images-idx3-ubyte": "is no IDX file",
        "b-images-idx3-ubyte.gz": "GiB of values", "z-images-idx3-ubyte": "does not exist",
    }  # fmt: skip


def test_every_damaged_file_is_one_line_that_names_it(tmp_path):
    for name, what in damaged(tmp_path).items():
        said = refused(name, folder=tmp_path)
        assert what in said, (name, said)
        assert name in said


def test_every_damaged_folder_is_one_line_that_names_the_file(tmp_path, monkeypatch):
    place = write_folder(tmp_path / "d") / "digit 1"
    good = (place / "0001.png").read_bytes()

    def said(name, content):
        (place / name).write_bytes(content)
        try:
            return refused("d", folder=tmp_path)
        finally:
            (place / name).unlink()

    assert "bad.png' is no image that Pillow can read" in said("bad.png", b"no image")
    assert "half.png' is damaged" in said("half.png", good[: len(good) // 2])
    large = io.BytesIO()
    Image.new("L", (100, 80)).save(large, "PNG")
    assert "2 sizes, such as 8 x 8 (60) and 80 x 100 ('odd.png')" in said("odd.png", large.getvalue())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    assert "bomb.png' would unfold to more pixels than are safe" in said("bomb.png", large.getvalue())
    (tmp_path / "secret.png").write_bytes(good)
    (place / "link.png").symlink_to(tmp_path / "secret.png")
    assert "link.png' is a link out of the folder" in refused("d", folder=tmp_path)
    (place / "link.png").unlink()
    (place / "lost.png").symlink_to(tmp_path / "nowhere.png")
    assert "lost.png' is a link that leads nowhere" in refused("d", folder=tmp_path)
    (tmp_path / "one" / "a").mkdir(parents=True)
    assert "holds no images" in refused("one", folder=tmp_path)
    (tmp_path / "one" / "a" / "x.png").write_bytes(good)
    assert "has images of one class ('a')" in refused("one", folder=tmp_path)


@pytest.mark.parametrize("encoding", ["dense", "tree"])
def test_pixels_are_scaled_by_one_rule_and_stay_in_place(encoding):
    rng = np.random.default_rng(0)
    bytes_ = rng.integers(0, 256, (40, 4, 3, 2), dtype=np.uint8)
    bytes_[:, 0, 0, 0] = 7  # a constant pixel is kept as it is
    table = read("t", [4, 3, 2], frame=pixel_frame(bytes_, np.arange(40) % 2))
    rows = np.arange(0, 40, 2)
    encoded, fitted = encode(table, Fold(rows, NOTHING, rows + 1), encoding, None)
    np.testing.assert_array_equal(
        encoded.train.X.reshape(-1, 4, 3, 2), bytes_[rows].astype(np.float32) / np.float32(255)
    )
    assert encoded.image == (4, 3, 2)
    assert encoded.columns == tuple(table.features.columns)
    again = type(fitted)(json.loads(json.dumps(fitted.state)))
    for dtype in ("u1", "i8", "f4", "f8"):
        np.testing.assert_array_equal(
            again.transform(table.features.iloc[rows + 1].astype(dtype)), encoded.score.X
        )


def test_other_ranges_are_those_of_the_training_rows_and_nothing_is_clipped():
    values = np.linspace(-2.0, 6.0, 40 * 6).reshape(40, 2, 3)
    table = read("t", [2, 3, 1], frame=pixel_frame(values, np.arange(40) % 2))
    fitted = fit_preprocessor(table, np.arange(20), "dense")
    low, high = values[0, 0, 0], values[19, -1, -1]
    assert (fitted.state["low"], fitted.state["high"]) == (low, high)
    encoded = fitted.transform(table.features)
    assert encoded.min() == 0
    assert encoded.max() == pytest.approx((6 - low) / (high - low))
    assert encoded.max() > 1.9


def package_of(table, rows=None):
    rows = np.arange(len(table.target)) if rows is None else rows
    fitted = fit_preprocessor(table, rows, "dense")
    coef = np.random.default_rng(0).normal(size=(table.features.shape[1], table.n_classes))
    chain = (fitted, LinearMember(coef, np.zeros(table.n_classes), table.task), 1.0)
    return Package([chain], table.task, table.classes, list(table.features.columns), image=table.image)


def test_a_package_takes_frames_and_arrays_alike(tmp_path):
    table = read("t", [8, 8, 1], frame=pixel_frame())
    package = package_of(table)
    package.save(tmp_path)
    assert json.loads((tmp_path / "package.json").read_text())["format"] == 3
    loaded = Package.load(tmp_path)
    expected = package.predict_raw(table.features)
    shuffled = table.features[table.features.columns[::-1]].astype(float)
    for images_ in (table.features, shuffled, X, X[..., None], X.reshape(-1, 64).astype(np.float32)):
        np.testing.assert_array_equal(loaded.predict_raw(images_), expected)
    assert list(loaded.predict(X[:3]).columns[:2]) == ["prediction", "probability_0"]
    assert len(loaded.predict(X[:0])) == 0
    with pytest.raises(ValueError, match=r"shape \(n, 8, 8, 1\) or flat \(n, 64\), found \(5, 7, 7\)"):
        loaded.predict(np.zeros((5, 7, 7)))
    holes = X.astype(float)
    holes[3, 2, 2] = np.nan
    with pytest.raises(ValueError, match="row 4 has pixels that are missing or infinite"):
        loaded.predict(holes)
    with pytest.raises(ValueError, match=r"missing column\(s\) 'p5'"):
        loaded.predict(table.features.drop(columns="p5"))


def test_packages_of_tables_keep_their_format(tmp_path):
    table = read("t", frame=pixel_frame())
    package = package_of(table)
    package.save(tmp_path)
    about = json.loads((tmp_path / "package.json").read_text())
    assert (about["format"], "image" in about) == (2, False)
    with pytest.raises(ValueError, match="expected a table with column names"):
        Package.load(tmp_path).predict(X)


@pytest.mark.parametrize("shape", [(8, 8, 1), (3, 5, 3), (100, 2), (9, 10, 11, 2), (1, 7, 1)])
def test_patches_divide_the_pixels(shape):
    found = patches(shape, 64)
    assert len(found) <= 64
    every = np.sort(np.concatenate(list(found.values())))
    np.testing.assert_array_equal(every, np.arange(np.prod(shape)))


def test_drift_of_images_is_told_in_patches(monkeypatch):
    table = read("t", [8, 8, 1], frame=pixel_frame())
    then, now = np.arange(1000), np.arange(1000, 1797)
    kept = profile(table, then)
    assert json.loads(json.dumps(kept)) == kept
    assert len(kept["features"]) <= 66
    calm = compare(kept, table, np.random.default_rng(0).permutation(then)[:500])
    assert calm.verdict == "none"
    assert len(lines(calm)) == 1
    dark = X.copy()
    dark[1000:] //= 2
    today = read("t", [8, 8, 1], frame=pixel_frame(dark))
    drift = compare(kept, today, now)
    assert drift.verdict == "strong"
    assert {"brightness", "contrast"} <= {m.name for m in drift.features if m.verdict == "strong"}
    told = lines(drift)
    assert len(told) == 2
    assert told[1].endswith("more measures of the images moved")
    apart = adversarial(today, then, now, 0)
    assert apart.differs
    assert set(dict(apart.top)) <= set(kept["features"])


def test_new_images_are_known_by_their_pixels():
    table = read("t", [8, 8, 1], frame=pixel_frame(X[:500], Y[:500]))
    kept, keys = profile(table, np.arange(500)), row_keys(table)
    today = read("t", [8, 8, 1], frame=pixel_frame(X[:600], Y[:600], float))
    np.testing.assert_array_equal(new_rows(keys, today, kept), np.arange(500, 600))
    other = replace(today, image=(64, 1))
    with pytest.raises(DataError, match=r"knows images of shape \[8, 8, 1\], today's table has \[64, 1\]"):
        compare(kept, other, np.arange(5))


def test_hashes_of_rows_are_sums_over_columns_whatever_the_blocks(monkeypatch):
    frame = pixel_frame().drop(columns="y").assign(w=np.where(Y > 4, "up", "down"))
    columns = list(frame.columns)
    kinds = dict.fromkeys(columns[:-1], "numeric") | {"w": "category"}
    whole = row_hashes(frame, kinds, columns)
    monkeypatch.setattr("autoreg.data.hashing.CELLS", 5000)
    np.testing.assert_array_equal(row_hashes(frame, kinds, columns), whole)
    first = mix(bits(frame["p2"].to_numpy()) ^ digests(["p2"])[0])
    np.testing.assert_array_equal(row_hashes(frame, kinds, ["p2"]), first)


def test_importance_of_images_is_by_patch():
    table = read("t", [8, 8, 1], frame=pixel_frame())
    package = package_of(table)
    member = package.members[0][1]
    seen = patches((8, 8, 1), 64)["rows 2, columns 3"]
    member.coef[np.setdiff1d(np.arange(64), seen)] = 0.0
    found = importance(
        package, get_metric("log_loss", "multiclass"), table.features, table.target, None, 0, 1e9
    )
    assert found is not None
    assert len(found) == 64
    assert [i.column for i in found if i.mean] == ["rows 2, columns 3"]


def test_the_predict_command_reads_every_source_of_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("digits.npz", X=X[:60] * 15, y=Y[:60])
    table = read("digits.npz", folder=tmp_path, task="multiclass")
    (tmp_path / "model").mkdir()
    package_of(table).save(tmp_path / "model")
    write_folder(tmp_path / "new" / "pictures")
    np.savez("flat.npz", X[:60].reshape(-1, 64) * 15)
    write_idx(tmp_path / "t10k-images-idx3-ubyte", X[:60] * 15)
    made = {}
    for source in ("digits.npz", "new", "flat.npz", "t10k-images-idx3-ubyte"):
        done = CliRunner().invoke(predict, ["model", source, "out.csv"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        made[source] = pd.read_csv("out.csv")
    by_file = made["new"].set_index("file")
    assert by_file.index[0] == "pictures/digit 0/0000.png"
    expected = made["digits.npz"]
    pd.testing.assert_frame_equal(made["flat.npz"], expected)
    pd.testing.assert_frame_equal(made["t10k-images-idx3-ubyte"], expected)
    in_order = by_file.loc[[f"pictures/digit {Y[i]}/{i:04d}.png" for i in range(60)]].reset_index(drop=True)
    pd.testing.assert_frame_equal(in_order, expected)
    np.savez("small.npz", X=X[:5, :7, :7])
    with pytest.raises(DataError, match=r"^IN: the model's image shape \[8, 8, 1\] has 64 values"):
        CliRunner().invoke(
            predict, ["model", "small.npz", "out.csv"], catch_exceptions=False, standalone_mode=False
        )


SERVED = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "autoreg":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import mlflow, numpy as np
model = mlflow.pyfunc.load_model("models:/digits@champion")
with np.load("digits.npz") as data:
    model.predict(data["X"][..., None]).to_json("served.json", orient="columns")
"""


@pytest.mark.slow
def test_a_registered_model_takes_raw_images_alone_and_behind_a_server(tmp_path, store, study_file):
    np.savez(tmp_path / "digits.npz", X=X[:600], y=Y[:600])
    study_file(
        'name = "digits"\n[data]\nsource = "digits.npz"\ntarget = "digit"\n[split]\nfolds = 2\n'
        '[search]\nbackends = ["sklearn"]\ntrials = 2\ntimeout = "2m"\n'
    )
    command = [sys.executable, "-m", "autoreg"]
    subprocess.run([*command, "tune", "study.toml"], check=True, capture_output=True)
    subprocess.run([*command, "predict", "models:/digits@champion", "digits.npz", "own.csv"], check=True)
    expected = pd.read_csv("own.csv")
    assert (expected.prediction == Y[:600]).mean() > 0.9
    subprocess.run([sys.executable, "-c", SERVED], check=True)
    alone = pd.read_json("served.json")
    pd.testing.assert_frame_equal(alone.reset_index(drop=True), expected, check_dtype=False, rtol=1e-9)
    from autoreg.tracking import quiet_client

    version = quiet_client().get_model_version_by_alias("digits", "champion")
    assert "from an image of 8 x 8, 1 channel" in version.description
    assert "an array (n, 8, 8, 1) of uint8" in version.description
    port = free_port()
    serve = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/digits@champion"]
    beside = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ["PATH"]]
    )  # uvicorn is started by name
    environment = {**os.environ, "PATH": beside}
    with process([*serve, "-p", str(port), "--env-manager", "local"], env=environment):
        answers(f"http://127.0.0.1:{port}/ping")
        sent = json.dumps({"inputs": X[:20, ..., None].tolist()}).encode()
        answer = json.loads(answers(f"http://127.0.0.1:{port}/invocations", sent))
        got = pd.DataFrame(answer["predictions"])
        pd.testing.assert_frame_equal(got, expected.iloc[:20], check_dtype=False, rtol=1e-9)
        wrong = json.dumps({"inputs": X[:20].tolist()}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", wrong, {"Content-Type": "application/json"}
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=60)
        assert caught.value.code == 400
        caught.value.close()
