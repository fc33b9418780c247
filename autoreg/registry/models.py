"""Versions and aliases: package a winner, register it once, point the alias at it, load it again.

A registered model is an MLflow pyfunc model *from code* with data files beside it. No pickle, raw rows in. mlflow is
imported by the functions that talk to it.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreg.errors import DataError, StudyError, did_you_mean
from autoreg.registry.aliases import give_alias
from autoreg.secrets import redact
from autoreg.serving import FORMAT, IMAGES, NewerFormatError, Package
from autoreg.tracking import found_or_none, quiet_client, reaching

if TYPE_CHECKING:
    import pandas as pd

LIBRARIES = {"linear": (), "booster": ("xgboost",), "network": ("tensorflow", "keras")}
HERE = Path(__file__).parent.parent
UID = "autoreg.uid"
"""Tag of a version, and of the logged model that it names: which winner it is."""
JUDGED = "autoreg.judged"
"""Tag of a version whose models were fitted once more on all rows: the file of its run that holds those which were judged."""
PACKAGED = "autoreg_packaged_serving_"
"""How modules of a stored model's own serving code are called; see ``pyfunc_entry``."""


@dataclass(frozen=True)
class Registration:
    """What is registered beside the package itself.

    Attributes
    ----------
    model, alias : str
    run_id : str
        Parent run of the study.
    example : pandas.DataFrame
        A few raw rows.
    tags : mapping of str to str
        Tags of the version; ``autoreg.uid`` names the winner and makes registering idempotent.
    description : str
        Markdown that reads like a model card.
    keep_example : bool
        Whether the example's rows are stored, or only tell what the model gives.
    """

    model: str
    alias: str
    run_id: str
    example: pd.DataFrame
    tags: Mapping[str, str]
    description: str
    keep_example: bool = True


def register(package: Package, registration: Registration) -> dict[str, Any]:
    """Log the package on the run, make one version of it and move the alias.

    A version that carries the same uid is found again instead of made twice.

    Returns
    -------
    dict
        ``name``, ``version``, ``uri``, ``alias``.

    Raises
    ------
    TrackingUnavailable
        The store cannot be reached or written.
    """
    client = quiet_client()
    with reaching(str(client.tracking_uri)):
        found = _existing(client, registration)
        if found is None:
            found = _create_version(client, registration, _log(client, package, registration))
        give_alias(client, registration.model, found, registration.alias)
    return {
        "name": registration.model,
        "version": found,
        "uri": f"models:/{registration.model}/{found}",
        "alias": registration.alias,
    }


def _existing(client: Any, registration: Registration) -> str | None:
    if found_or_none(client.get_registered_model, registration.model) is None:
        return None
    name = registration.model.replace("'", "''")
    versions = client.search_model_versions(f"name = '{name}' and run_id = '{registration.run_id}'")
    uid = registration.tags[UID]
    same = [v for v in versions if v.tags.get(UID) == uid]
    return str(min(same, key=lambda v: int(v.version)).version) if same else None


def _create_version(client: Any, registration: Registration, model_id: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(
            registration.model, description="Tuned by autoreg; see the newest version."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    created = client.create_model_version(
        registration.model,
        source=f"models:/{model_id}",
        run_id=registration.run_id,
        tags=dict(registration.tags),
        description=registration.description,
        model_id=model_id,
    )
    return str(created.version)


def _log(client: Any, package: Package, registration: Registration) -> str:
    """Log the package as a pyfunc model from code; returns the id of the logged model."""
    example = _example(package, registration.example)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "package"
        place.mkdir()
        package.save(place)
        shutil.copytree(HERE / "serving", place / "serving", ignore=shutil.ignore_patterns("__pycache__"))
        with warnings.catch_warnings(), _hushed("mlflow"), _tried():
            # MLflow warns about type hints and integer columns that the package handles itself.
            warnings.simplefilter("ignore")
            import mlflow.pyfunc
            from mlflow.models.model import Model

            # MLflow itself would put it into the default experiment, which others may read.
            run = client.get_run(registration.run_id)
            uid = {UID: registration.tags[UID]}
            made = client.create_logged_model(
                run.info.experiment_id, "model", registration.run_id, params=run.data.params, tags=uid
            )
            info = Model.log(
                artifact_path=None,
                name="model",
                model_id=made.model_id,
                flavor=mlflow.pyfunc,
                run_id=registration.run_id,
                python_model=str(HERE / "pyfunc_entry.py"),
                artifacts={"package": str(place)},
                signature=_signature(package, example),
                input_example=example if registration.keep_example else None,
                pip_requirements=requirements(package),
                metadata={"autoreg.format": IMAGES if package.image else FORMAT},
            )
    return str(info.model_id)


@contextmanager
def _tried() -> Iterator[None]:
    """Forget the serving code that MLflow has imported in the block to try a model out, in a folder that is gone.

    A process that runs study after study would keep a copy of it for each.
    """
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in [n for n in sys.modules if n.startswith(PACKAGED) and n not in before]:
            if not Path(sys.modules[name].__file__ or "").is_file():
                del sys.modules[name]


class _hushed:
    """Raise a logger's level to errors for the length of a block."""

    def __init__(self, name: str) -> None:
        self.logger = logging.getLogger(name)

    def __enter__(self) -> None:
        self.level = self.logger.level
        self.logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self.logger.setLevel(self.level)


def _example(package: Package, rows: pd.DataFrame) -> Any:
    """A few raw rows, as an array (n, *image) for images that came without column names."""
    if not package.tensor or package.image is None:
        return rows
    return rows[package.columns].to_numpy().reshape(-1, *package.image)


def _signature(package: Package, example: Any) -> Any:
    """Columns by name and of any type: MLflow would refuse whole numbers for a double; the package converts.

    A tensor for images that came without column names.
    """
    from mlflow.models import ModelSignature
    from mlflow.models.signature import infer_signature
    from mlflow.types.schema import AnyType, ColSpec, Schema, TensorSpec

    outputs = infer_signature(None, package.predict(example)).outputs
    if package.tensor:
        tensor = TensorSpec(example.dtype, (-1, *example.shape[1:]))
        return ModelSignature(inputs=Schema([tensor]), outputs=outputs)
    anything = AnyType()  # type: ignore[no-untyped-call]
    inputs = Schema([ColSpec(anything, str(name)) for name in package.columns])
    return ModelSignature(inputs=inputs, outputs=outputs)


def requirements(package: Package) -> list[str]:
    """Pinned requirements of the members' own libraries, and of nothing else."""
    names = ["mlflow", "numpy", "pandas"]
    for _, member, _ in package.members:
        names += [n for n in LIBRARIES[member.kind] if n not in names]
    return [f"{name}=={version(name)}" for name in names]


def load_package(uri: str) -> Package:
    """Fetch a registered model and load its data with this installation's serving code; none of its code is run.

    Parameters
    ----------
    uri : str
        ``models:/NAME@alias``, ``models:/NAME/VERSION`` or a local folder.

    Raises
    ------
    StudyError
        No such model, or not one of autoreg's.
    DataError
        It is damaged, or a newer release made it.
    """
    if Path(uri).is_dir():
        return _open(Path(uri), uri)
    client = quiet_client()
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    with reaching(str(client.tracking_uri)), tempfile.TemporaryDirectory() as folder:
        try:
            place = download_artifacts(artifact_uri=uri, dst_path=folder)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"):
                raise StudyError(
                    f"model '{redact(uri)}' cannot be found: {_why_not(client, uri, error)}"
                ) from error
            raise
        return _open(Path(place), uri)


def _why_not(client: Any, uri: str, error: Exception) -> str:
    """Why an address leads to no model, with one that would where it can be told."""
    name = uri.removeprefix("models:/").partition("@")[0].partition("/")[0]
    if ":" not in uri:
        return f"expected models:/NAME@champion, models:/NAME/VERSION or a folder; for example models:/{name}@champion"
    if uri == f"models:/{name}":
        return f"say which version: models:/{name}@champion, or models:/{name}/1"
    known = [each.name for each in client.search_registered_models()]
    if uri.startswith("models:/") and known and name not in known:
        return f"no model is called '{name}'{did_you_mean(name, known)}"
    return redact(str(error).splitlines()[0])[:200]


def _open(folder: Path, uri: str) -> Package:
    for place in (folder, folder / "artifacts" / "package"):
        if (place / "package.json").is_file():
            try:
                return Package.load(place)
            except ImportError:
                raise  # a library is missing here
            except NewerFormatError as error:
                raise DataError(
                    f"model '{redact(uri)}' was made by a newer autoreg ({error}): upgrade autoreg here"
                ) from error
            except Exception as error:  # whatever a library raises over a file that it cannot read
                told = str(error).strip().splitlines() or [type(error).__name__]
                raise DataError(
                    f"model '{redact(uri)}' is damaged or of another format: {redact(told[0])[:300]}; register it again"
                ) from error
    raise StudyError(f"'{redact(uri)}' is not a model of autoreg: it holds no package.json")
