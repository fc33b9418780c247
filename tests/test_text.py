import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autoreg.data.load import load_table
from autoreg.data.preprocess import fit_preprocessor
from autoreg.serving import Preprocessor, words_of
from autoreg.spec import DataSpec

N = 400
TOPICS = {
    "sea": ["ship", "wave", "harbour", "sail", "anchor", "salt", "storm", "captain", "crew", "tide"],
    "kitchen": ["bread", "salt", "oven", "butter", "flour", "pan", "soup", "spoon", "crumb", "stew"],
}


def notes(n=N, length=12, seed=0):
    """Rows of words of one topic, and some that both share; few rows have the same words."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    shared = [f"thing{i}" for i in range(300)]
    rows = []
    for code in y:
        own = rng.choice(list(TOPICS.values())[code], length // 3)
        rows.append(" ".join([*own, *rng.choice(shared, length - length // 3)]))
    return pd.DataFrame({"note": rows, "y": y})


def load(frame):
    return load_table(DataSpec(source="x.csv", target="y"), "t", Path("."), frame=frame)


def fitted(frame, rows=None, encoding="dense"):
    return fit_preprocessor(load(frame), np.arange(len(frame)) if rows is None else rows, encoding)


def test_words_are_lower_case_and_codes_bring_their_letters():
    assert words_of("Braund, Mr. Owen HARRIS") == ["braund", "mr", "owen", "harris"]
    assert words_of("C85 a_b 12 é1") == ["c85", "c", "a_b", "a", "b", "12", "é1", "é"]
    assert words_of("...") == []


def test_long_texts_are_folded_into_a_column_for_ten_rows():
    frame = notes()
    made = fitted(frame)
    entry = made.state["text"][0]
    assert len(entry["words"]) > 300
    assert np.shape(entry["map"]) == (len(entry["words"]), 40)
    assert len(made.state["columns"]) == 40
    assert made.state["columns"][0].startswith("note #0 ")
    matrix = made.transform(frame)
    np.testing.assert_allclose(matrix.mean(axis=0), 0, atol=1e-5)
    assert (matrix.astype(float) ** 2).mean() == pytest.approx(1, abs=1e-4)
    np.testing.assert_array_equal(matrix, fitted(frame).transform(frame))
    again = Preprocessor(json.loads(json.dumps(made.state, allow_nan=False)))
    np.testing.assert_array_equal(again.transform(frame), matrix)


def test_folded_columns_are_the_best_ones_of_their_number():
    frame = notes()
    made = fitted(frame)
    entry = made.state["text"][0]
    place = {word: i for i, word in enumerate(entry["words"])}
    weighed = np.zeros((N, len(place)))
    for row, text in zip(weighed, frame["note"], strict=True):
        for word in words_of(text):
            if word in place:
                row[place[word]] += 1
    weighed = np.where(weighed > 0, 1 + np.log(np.maximum(weighed, 1)), 0) * np.array(entry["idf"])
    weighed /= np.linalg.norm(weighed, axis=1, keepdims=True)
    kept = ((weighed @ (np.array(entry["map"]) * entry["unit"])) ** 2).sum()
    best = (np.linalg.svd(weighed, compute_uv=False)[:40] ** 2).sum()
    assert kept == pytest.approx(best, rel=0.02)


def test_names_keep_a_column_for_each_common_word():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"name": [f"n{i}, {('Mr', 'Miss')[v]}. A{i % 7}" for i, v in enumerate(rng.integers(0, 2, N))]}
    )
    frame["y"] = frame["name"].str.contains("Miss").astype(int)
    made = fitted(frame)
    assert {"name: mr", "name: miss"} <= set(made.state["columns"])
    assert made.state["text"][0]["map"] == []
    column = made.transform(frame)[:, made.state["columns"].index("name: miss")]
    assert (column[frame["y"] == 1].min() > column[frame["y"] == 0].max()) is np.True_


@pytest.mark.parametrize("encoding", ["dense", "tree"])
def test_topics_can_be_told_apart_from_unseen_texts(encoding):
    from sklearn.linear_model import LogisticRegression

    frame = notes()
    rows = np.arange(N // 2)
    X = fitted(frame, rows, encoding).transform(frame)
    model = LogisticRegression(C=0.01).fit(X[rows], frame["y"][rows])
    assert model.score(X[N // 2 :], frame["y"][N // 2 :]) > 0.85


def test_a_missing_text_is_the_mean_and_says_so():
    frame = notes()
    frame.loc[:20, "note"] = None
    made = fitted(frame)
    assert made.state["columns"][-1] == "note missing"
    got = made.transform(pd.DataFrame({"note": [None, "", "zzz", "ship", "Ship, SHIP!"]}))
    assert got[:, -1].tolist() == [1, 1, 0, 0, 0]
    assert not got[:2, :-1].any()
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got[3], got[4], rtol=1e-5, atol=1e-6)  # one word has length 1 however often


def test_texts_without_a_common_word_are_hashed():
    frame = pd.DataFrame({"note": [f"{i + 1000} / {i + 5000}" for i in range(N)], "y": np.arange(N) % 2})
    rows = np.arange(0, 3)
    entry = fitted(frame, rows).state["text"][0]
    assert "words" not in entry
    assert fitted(frame, rows).transform(frame).shape == (N, 64)


@pytest.mark.parametrize("n", [1, 2, 5, 17])
def test_few_rows_are_no_trouble(n):
    frame = notes()
    got = fitted(frame, np.arange(n)).transform(frame)
    assert np.isfinite(got).all()
    assert np.abs(got).max() <= 10


def test_the_notes_say_how_text_is_used():
    (note,) = [note for note in load(notes()).notes if "text: its words" in note]
    assert note.startswith("column 'note': text: its words are weighed")
