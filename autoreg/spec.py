"""The study file: parsed once into frozen records, unknown keys refused, clean after that.

Secrets never belong in a study file; an SQL URL may name environment variables as ``${NAME}``.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from autoreg.errors import StudyError, did_you_mean, near_file, toml_line
from autoreg.spec_parts import Duration, Names, RangeSpec, Section, Shape, SpaceSpec, printable
from autoreg.spec_published import PublishedSpec
from autoreg.spec_registry import RegistrySpec as RegistrySpec
from autoreg.spec_registry import RetuneSpec as RetuneSpec
from autoreg.spec_split import SplitSpec as SplitSpec
from autoreg.trial import Dimension, Scalar

FEWEST_ROWS = 100
"""Rows that trials see, where a study says how many."""


class DataSpec(Section):
    """Where the table is and what its columns are."""

    source: str = Field(
        min_length=1,
        description="path or URL of a CSV or Parquet file, `sklearn:NAME?args`, `openml:NAME-or-id`, or an SQLAlchemy URL (with `query`); for images also an `.npz` file, an IDX file, or a folder with one sub-folder a class",
    )
    target: str = Field(min_length=1, description="column to predict")
    query: str | None = Field(None, description="SQL query, for an SQL source")
    task: Literal["auto", "binary", "multiclass", "regression"] = Field(
        "auto", description="kind of target; detected and said when `auto`"
    )
    id: str | None = Field(
        None, description="column that names a row for ever; decides its side of the holdout; not a feature"
    )
    group: str | None = Field(
        None, description="column whose equal values never part (patients, customers); not a feature"
    )
    time: str | None = Field(
        None, description="column to order by: later rows are scored by models of earlier ones; not a feature"
    )
    weight: str | None = Field(None, description="column of non-negative sample weights; not a feature")
    drop: Names = Field((), description="columns to leave out")
    trusted: Names = Field(
        (),
        description="columns that may tell the target almost alone: no warning of them, and a retune does not stop at them",
    )
    image: Shape | None = Field(
        None,
        description="every row is an image: its shape, channels last, such as `[28, 28, 1]`; the features in file order are its pixels. Two numbers are a series, four a volume; known without this key for `.npz`, IDX and folders of images",
    )
    scale: Literal["auto", "standard", "none", "unit"] = Field(
        "auto",
        description="numbers for linear models and networks: `auto` standardises and clips, `standard` standardises alone, `none` leaves them as they are, `unit` divides pixels by 255 and others by their largest value",
    )


def _rows(value: Any) -> Any:
    """ "auto", "all", or a number of rows that folds can divide."""
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= FEWEST_ROWS
    if value in ("auto", "all") or whole:
        return value
    raise ValueError(f'expected "auto", "all" or a number of rows from {FEWEST_ROWS} on, found {value!r}')


class SearchSpec(Section):
    """What is searched, for how long, judged by what."""

    metric: str | None = Field(
        None,
        description="the metric you care about; `log_loss` for classes, `rmse` for numbers when left out; may be one of your own",
    )
    backends: Names = Field(
        ("sklearn", "xgboost", "keras"),
        min_length=1,
        description="model families, in the order in which they take turns",
    )
    trials: int = Field(60, ge=1, le=100_000, description="number of trials over all backends")
    timeout: Duration = Field(
        600.0,
        description='limit for a whole invocation, such as `"10m"`; the search ends in time for what follows it, after half of it at the earliest (40 % where trials see a sample of the rows)',
    )
    trial_timeout: Duration | None = Field(
        None,
        description="limit for one trial, which is failed when it takes longer and the study goes on; a block of networks has its limits together",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="seed of every random choice")
    rows: Annotated[Literal["auto", "all"] | int, BeforeValidator(_rows)] = Field(
        "auto",
        description="rows that trials see; of more, a sample, and what is shipped is fitted on all. `auto`: six million cells of the table, 20,000 rows at least, all of images; `all`; or a number",
    )
    sampler: Literal["tpe", "random", "grid", "turns"] = Field(
        "tpe",
        description="how configurations are proposed; `grid` tries every combination of lists, `turns` one list at a time, the others at their first value",
    )
    block: int | None = Field(
        None,
        ge=1,
        le=256,
        description="trials a backend runs in its turn; 8, or fewer for large data, when left out",
    )
    lookahead: int = Field(
        8,
        ge=1,
        le=1024,
        description="a trial is proposed when all but the last so many are known; fixes the search whatever runs it",
    )
    prune: bool = Field(
        True,
        description="give up a trial that is worse than the best one after its first fold, or clearly so after more",
    )
    race: bool = Field(
        True,
        description="drop a backend that is clearly worse after 15 trials of each; the others get its trials",
    )
    class_weight: Literal["none", "balanced"] = Field(
        "none", description="`balanced` weighs every class alike"
    )
    sklearn: SpaceSpec = Field(
        {}, description="search space of the linear models, name = value, list or range"
    )
    xgboost: SpaceSpec = Field({}, description="search space of the boosted trees")
    keras: SpaceSpec = Field({}, description="search space of the networks")

    @model_validator(mode="after")
    def _distinct(self) -> SearchSpec:
        if len(set(self.backends)) < len(self.backends):
            raise ValueError(f"backends must differ, found {', '.join(self.backends)}")
        return self

    def space(self, backend: str) -> dict[str, Dimension]:
        """The study's own dimensions for a backend."""
        return dict(getattr(self, backend))


class SelectSpec(Section):
    """How the winner is chosen."""

    rule: Literal["best", "one_se"] = Field(
        "best",
        description="`best`: best score on fresh folds; `one_se`: the simplest within one standard error of it",
    )
    final: Literal["auto", "single"] = Field(
        "auto",
        description="`auto`: a blend where it is clearly better, else a bag of the winner, or one linear model; `single`: one model",
    )
    refit_full: bool = Field(
        True,
        description="after the look at the held-out rows, fit what is shipped once more with these rows too; the estimate is that of the fit before. `false` ships that one, and so do tables of which trials see a sample",
    )


class TlsSpec(Section):
    """PEM files for `tls://`, relative to the study file's folder."""

    ca_file: str = Field(min_length=1, description="certificate of the authority that signed the others")
    cert_file: str = Field(min_length=1, description="this side's certificate")
    key_file: str = Field(min_length=1, description="its private key")


class ClusterSpec(Section):
    """What `--engine dask` needs to know; changes no trial."""

    shared: str | None = Field(
        None,
        min_length=1,
        description="folder that driver and workers share, for the data; without one the data is sent to every worker",
    )
    wait: Duration = Field(60.0, description="how long to wait for a worker where there is none")
    security: TlsSpec | None = Field(
        None,
        description="`{ca_file, cert_file, key_file}` for `tls://`; what Dask's own configuration says when left out",
    )


class Study(Section):
    """A whole study file."""

    name: str = Field(
        min_length=1, max_length=200, description="name of the study and of its MLflow experiment"
    )
    data: DataSpec
    split: SplitSpec = SplitSpec()
    search: SearchSpec = SearchSpec()
    select: SelectSpec = SelectSpec()
    registry: RegistrySpec = RegistrySpec()
    retune: RetuneSpec = RetuneSpec()
    cluster: ClusterSpec = ClusterSpec()
    published: PublishedSpec = PublishedSpec()
    _folder: Path = PrivateAttr(default=Path("."))
    _text: str = PrivateAttr(default="")

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        return printable(name)

    @model_validator(mode="after")
    def _named(self) -> Study:
        if self.registry.model is None and re.search(r"[/:]", self.name):
            raise ValueError(
                f"name {self.name!r} cannot name a registered model ('/' or ':'); set registry.model"
            )
        return self

    @property
    def folder(self) -> Path:
        """Folder of the study file; relative data paths start there."""
        return self._folder

    @property
    def text(self) -> str:
        """The study file as it was read; empty when the study was not read from a file."""
        return self._text

    @property
    def model(self) -> str:
        """Registered model name."""
        return self.registry.model or self.name

    def updated(self, **sections: dict[str, Any]) -> Study:
        """A copy with some keys of some sections replaced, checked again; None values are ignored."""
        raw: dict[str, Any] = {
            key: _given(value) if isinstance(value, BaseModel) else value for key, value in self
        }
        for section, values in sections.items():
            raw[section] |= {key: value for key, value in values.items() if value is not None}
        study = _parse(raw, "command line", self.folder)
        study._text = self._text
        return study


def load_study(path: str | Path) -> Study:
    """Read a study file.

    Raises
    ------
    StudyError
        Missing or unreadable file, not TOML, unknown key or bad value; one line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise StudyError(
            f"study file '{path}' does not exist{near_file(path) or '; give a .toml file, or write one with autoreg init DATA'}"
        ) from error
    except IsADirectoryError as error:
        raise StudyError(f"study file '{path}' is a folder; give a .toml file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"study file '{path}' cannot be read: {error}") from error
    return read_study(text, str(path), path.resolve().parent)


def read_study(text: str, where: str, folder: Path) -> Study:
    """Read the text of a study file; ``where`` names it in errors, relative paths start in ``folder``.

    Raises
    ------
    StudyError
        Not TOML, unknown key or bad value; one line.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(
            f"study file '{where}' is not valid TOML: {error}{toml_line(text, error)}"
        ) from error
    study = _parse(raw, where, folder)
    study._text = text
    return study


def parse_study(raw: dict[str, Any], folder: Path | None = None) -> Study:
    """Build a study from a plain dictionary of the same form as the file."""
    return _parse(raw, "study", folder or Path.cwd())


def _parse(raw: dict[str, Any], where: str, folder: Path) -> Study:
    try:
        study = Study.model_validate(raw)
    except ValidationError as error:
        # A key may hold any character, a line break too.
        raise StudyError(" ".join(f"{where}: {_first_line(error)}".split())) from None
    study._folder = folder
    return study


def _first_line(error: ValidationError) -> str:
    """The most telling of pydantic's errors, in one line of ours."""
    found = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    first = found[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join(path)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"unknown key '{name}'{did_you_mean(path[-1], _keys_at(path[:-1]))}{more}"
    if first["type"] == "missing":
        return f"key '{name}' is missing; add it{more}"
    message = re.sub(r"^(Value error|Assertion failed), ", "", first["msg"])
    message = message.replace("Input should be ", "expected ").replace(
        "expected greater than or equal to", "expected at least"
    )
    shown = "" if first["type"] == "value_error" else f", found {first['input']!r:.80}"
    return f"{name}: {message}{shown}{more}"


def _given(section: BaseModel) -> dict[str, Any]:
    """The keys that the study itself names; a key at its default may be refused where it is named."""
    return {key: value for key, value in section if key in section.model_fields_set}


def _keys_at(path: list[str]) -> list[str]:
    model: Any = Study
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = getattr(field, "annotation", None)
    return list(getattr(model, "model_fields", RangeSpec.model_fields))


def reference() -> str:
    """The study file's keys as a Markdown table, generated from the models above."""
    lines = ["| key | default | what it is |", "|---|---|---|"]
    sections: list[tuple[str, type[BaseModel]]] = [
        ("", Study),
        ("data", DataSpec),
        ("split", SplitSpec),
        ("search", SearchSpec),
        ("select", SelectSpec),
        ("registry", RegistrySpec),
        ("retune", RetuneSpec),
        ("cluster", ClusterSpec),
        ("published", PublishedSpec),
    ]
    for section, model in sections:
        for name, field in model.model_fields.items():
            if section == "" and name != "name":
                continue
            key = f"{section}.{name}" if section else name
            lines.append(f"| `{key}` | {_shown(field)} | {field.description} |")
    return "\n".join(lines) + "\n"


def _shown(field: Any) -> str:
    if field.is_required():
        return "required"
    value: Scalar | tuple[Any, ...] | dict[str, Any] | None = field.default
    if value is None or value in ((), {}):
        return ""
    return f"`{list(value) if isinstance(value, tuple) else value}`"
