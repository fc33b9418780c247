"""What a scoring server answers to rows that are not as they should be: its own functions, on a registered model."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from autoreg.data import fit_preprocessor, load_table
from autoreg.registry import Registration, register
from autoreg.serving import LinearMember, Package, texts
from autoreg.spec import parse_study
from autoreg.tracking import quiet_client

N = 60
RAW = pd.DataFrame(
    {
        "age": np.linspace(20, 70, N),
        "since": pd.date_range("2024-01-01", periods=N).astype(str),
        "town": ["Ulm", "Trier", "Jena"] * (N // 3),
    }
)


@pytest.fixture(scope="module")
def served(migrated_store, tmp_path_factory):
    """A registered model, loaded as MLflow loads it."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(migrated_store, folder / "mlflow.db")
    parsed = parse_study({"name": "served", "data": {"source": "t.csv", "target": "y"}})
    table = load_table(parsed.data, "served", parsed.folder, RAW.assign(y=[0, 1] * (N // 2)))
    fitted = fit_preprocessor(table, np.arange(N), "dense")
    width = len(fitted.state["columns"])
    member = LinearMember(np.random.default_rng(0).normal(size=(width, 1)), np.zeros(1), "binary")
    package = Package([(fitted, member, 1.0)], "binary", (0, 1), list(table.kinds))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        client = quiet_client()
        run_id = client.create_run(client.create_experiment("served")).info.run_id
        register(package, Registration("served", "champion", run_id, RAW.head(3), {"autoreg.uid": "u"}, ""))
        import mlflow.pyfunc

        return mlflow.pyfunc.load_model("models:/served@champion")


def asked(model, rows):
    """Code of the answer, and the predictions or the last line of what it says is wrong."""
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc.scoring_server import invocations

    body = rows
    if isinstance(rows, pd.DataFrame):
        body = json.dumps({"dataframe_split": rows.to_dict(orient="split", index=False)})
    try:
        answer = invocations(body, "application/json", model, model.metadata.get_input_schema())
    except MlflowException as error:
        return error.get_http_status_code(), error.message.rpartition("Error: ")[2]
    return answer.status, json.loads(answer.response)["predictions"]


def test_order_and_number_of_columns_do_not_matter(served):
    code, want = asked(served, RAW)
    assert (code, len(want)) == (200, N)
    assert set(want[0]) == {"prediction", "probability_0", "probability_1"}
    assert asked(served, RAW[RAW.columns[::-1]]) == (200, want)
    assert asked(served, RAW.assign(more=1)) == (200, want)


@pytest.mark.parametrize("value", [None, np.nan, "Mars", ""])
def test_what_was_never_seen_or_is_missing_is_predicted(served, value):
    code, found = asked(served, RAW.head(4).assign(town=value))
    assert code == 200
    assert all(np.isfinite(row["probability_1"]) for row in found)
    assert asked(served, RAW.head(4).assign(age=None, since=None, town=None))[0] == 200


def test_no_rows_are_no_predictions(served):
    assert asked(served, RAW.head(0)) == (200, [])


@pytest.mark.parametrize(
    ("column", "value", "line"),
    [
        ("age", "old", "column 'age': expected a number, found 'old'"),
        ("since", "lately", "column 'since': expected an ISO date, found 'lately'"),
        ("age", [1, 2], "column 'age': expected one value a cell, found a list or another nested value"),
        ("town", {"a": 1}, "column 'town': expected one value a cell, found a list or another nested value"),
    ],
)
def test_a_value_that_cannot_be_read_is_a_bad_request_that_names_the_column(served, column, value, line):
    rows = RAW.head(2).astype({column: object})
    rows.at[1, column] = value
    assert asked(served, rows) == (400, line)


def test_a_missing_column_is_a_bad_request_that_names_it(served):
    code, line = asked(served, RAW.drop(columns="since"))
    assert code == 400
    assert "missing inputs ['since']" in line


@pytest.mark.parametrize("body", ["not JSON", "[1, 2]", "{}", '{"dataframe_split": {"columns": ["age"]}}'])
def test_what_is_no_table_is_a_bad_request(served, body):
    assert asked(served, body)[0] == 400


def test_arrows_lists_are_named_like_any_other():
    pa = pytest.importorskip("pyarrow")
    column = pd.Series([[1], [2]], dtype=pd.ArrowDtype(pa.list_(pa.int64())), name="tags")
    with pytest.raises(ValueError, match="column 'tags': expected one value a cell"):
        texts(column)
