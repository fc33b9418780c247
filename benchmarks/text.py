"""Text columns as this package encodes them, beside the hashed words of before and TF-IDF of as many words.

    python benchmarks/text.py [titanic.csv]

Docstrings of the installed numpy, scipy, pandas and scikit-learn (which package does a text come from? its own name
taken out), whole and their first sentence; with the file, whether a passenger survived by name, ticket or cabin.
Three folds; losses (log loss) of a logistic regression, boosted trees that stop early and a network of 64 units.
"""

import ast
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from autoreg.data.text import fit_text
from autoreg.serving import Preprocessor, hashed

PACKAGES = ("numpy", "scipy", "pandas", "sklearn")
NAMES = re.compile(r"\b(numpy|np|scipy|pandas|pd|sklearn|scikit|learn)\b", re.IGNORECASE)
ROWS, FOLDS = 2_000, 3


def docstrings():
    """Different docstrings of functions and classes, without the packages' names: package, doc, summary."""
    rows = []
    for package in PACKAGES:
        root = Path(find_spec(package).origin).parent
        for path in sorted(p for p in root.rglob("*.py") if "test" not in str(p.relative_to(root))):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.FunctionDef | ast.ClassDef)
                    and len(ast.get_docstring(node) or "") > 40
                ):
                    rows.append((package, NAMES.sub("", ast.get_docstring(node))))
    frame = pd.DataFrame(rows, columns=["package", "doc"]).drop_duplicates("doc")
    frame["summary"] = frame["doc"].str.split("\n\n").str[0].str.split().str.join(" ")
    return frame[frame["summary"].str.len() > 15].sample(ROWS, random_state=0)


def as_hashed(train, test, _):
    return [hashed(part, 64)[:, :64] for part in (train, test)]


def as_words(train, test, dims):
    """scikit-learn's TF-IDF of the commonest words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    made = TfidfVectorizer(max_features=dims, token_pattern=r"\w+", sublinear_tf=True)
    return [made.fit_transform(train).toarray(), made.transform(test).toarray()]


def as_ours(train, test, _):
    entry = fit_text(train, "text") | {"hole": 0}
    state = {
        "dense": False,
        "numeric": [],
        "booleans": 0,
        "void": {},
        "date": [],
        "category": [],
        "text": [entry],
    }
    return [Preprocessor(state).transform(part.rename("text").to_frame()) for part in (train, test)]


def linear(X, y, Z, z):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    scale = np.sqrt((X - X.mean(axis=0)).var())
    a, stop, b, c = train_test_split(X / scale, y, test_size=0.25, random_state=0, stratify=y)
    made = [LogisticRegression(C=C, max_iter=200, tol=1e-3) for C in (0.001, 0.01, 0.1, 1.0)]
    best = min(made, key=lambda model: loss(model.fit(a, b).predict_proba(stop), c))
    return loss(best.fit(X / scale, y).predict_proba(Z / scale), z)


def boosted(X, y, Z, z):
    import xgboost as xgb
    from sklearn.model_selection import train_test_split

    a, stop, b, c = train_test_split(X, y, test_size=0.15, random_state=0, stratify=y)
    model = xgb.XGBClassifier(
        n_estimators=600, learning_rate=0.05, max_depth=4, subsample=0.8, colsample_bytree=0.4, n_jobs=1, early_stopping_rounds=30,
    )  # fmt: skip
    return loss(model.fit(a, b, eval_set=[(stop, c)], verbose=False).predict_proba(Z), z)


def network(X, y, Z, z):
    from sklearn.neural_network import MLPClassifier

    scale = np.sqrt((X - X.mean(axis=0)).var())
    model = MLPClassifier((64,), alpha=1.0, early_stopping=True, learning_rate_init=3e-3, random_state=0)
    return loss(model.fit(X / scale, y).predict_proba(Z / scale), z)


def loss(p, z):
    return -np.log(np.maximum(p[np.arange(len(z)), z], 1e-15)).mean()


def compare(name, text, labels):
    from sklearn.model_selection import StratifiedKFold

    text, y = pd.Series(text).fillna("").reset_index(drop=True), pd.factorize(labels, sort=True)[0]
    ways = {"hashed, 64": as_hashed, "TF-IDF words": as_words, "autoreg": as_ours}
    found = {way: [] for way in ways}
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(text, y):
        dims = as_ours(text[train], text[test], 0)[0].shape[1]
        for way, encoded in ways.items():
            X, Z = encoded(text[train], text[test], dims)
            row = [model(X, y[train], Z, y[test]) for model in (linear, boosted, network)]
            found[way].append([*row, X.shape[1]])
    for way, rows in found.items():
        a, b, c, width = np.mean(rows, axis=0)
        print(
            f"{name:20} {way:14} width {width:4.0f}  linear {a:.3f}  boosted {b:.3f}  network {c:.3f}",
            flush=True,
        )


def main(paths):
    frame = docstrings()
    compare("docstring", frame["doc"], frame["package"])
    compare("its first sentence", frame["summary"], frame["package"])
    for path in paths:
        titanic = pd.read_csv(path)
        for name in ("Name", "Ticket", "Cabin"):
            compare(f"titanic {name}", titanic[name], titanic["Survived"])


if __name__ == "__main__":
    main(sys.argv[1:])
