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
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from autoreg.errors import StudyError, did_you_mean
from autoreg.trial import Choice, Dimension, Range, Scalar

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(value: Any) -> float:
    """Seconds from a number or from text such as ``"90s"``, ``"10m"``, ``"1.5h"``.

    >>> parse_duration("10m")
    600.0
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(value))
    if isinstance(value, bool) or not match:
        raise ValueError(f"expected seconds or text like '90s', '10m', '1h', found {value!r}")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds <= 0:
        raise ValueError("must be longer than 0 seconds")
    return seconds


Duration = Annotated[float, BeforeValidator(parse_duration)]


def _tuple(value: Any) -> Any:
    """A comma-separated text or a list as a tuple."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, list) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_tuple)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class DataSpec(_Section):
    """Where the table is and what its columns are."""

    source: str = Field(
        min_length=1,
        description="path or URL of a CSV or Parquet file, `sklearn:NAME?args`, `openml:NAME-or-id`, or an SQLAlchemy URL (with `query`)",
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


class SplitSpec(_Section):
    """How the table is divided."""

    holdout: float = Field(0.2, ge=0.05, le=0.5, description="share of rows looked at once, at the very end")
    folds: int = Field(5, ge=2, le=20, description="number of folds of the search")
    estimate: Literal["holdout", "nested"] = Field(
        "holdout",
        description="`nested`: no rows are held out, the whole search is repeated in every outer fold (small data; costs `folds` times more)",
    )
    stop: float = Field(
        0.15, ge=0.0, le=0.5, description="share of a fold's training rows that decides when training stops"
    )


class RangeSpec(_Section):
    """A numeric range in a study file."""

    low: float = Field(description="lower end")
    high: float = Field(description="upper end")
    log: bool = Field(False, description="uniform on a log scale")
    off: bool = Field(False, description="exact 0 is possible too")
    extend: bool = Field(False, description="the search may move an end that its best trials crowd")

    @model_validator(mode="after")
    def _ordered(self) -> RangeSpec:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, found low = {self.low:g}, high = {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range needs low > 0, found {self.low:g}; use off = true to reach 0")
        if self.off and self.low <= 0:
            raise ValueError(f"off = true adds 0 below low, so low must be above 0, found {self.low:g}")
        if self.extend and not self.log:
            raise ValueError("extend = true is for ranges with log = true; add it, or give wider ends")
        return self


def parse_dimension(value: Any) -> Dimension:
    """A scalar fixes, a list chooses, a table ``{low, high, log, off, extend}`` is a range.

    Raises
    ------
    ValueError
        Anything else, an empty list, or a range that is none.
    """
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Choice | Range):
        return value
    if isinstance(value, list | tuple):
        if not value or not all(isinstance(v, bool | int | float | str) for v in value):
            raise ValueError(f"a list must hold at least one number, text or boolean, found {value!r}")
        return Choice(tuple(value)) if len(value) > 1 else value[0]
    if isinstance(value, dict):
        spec = RangeSpec.model_validate(value)
        whole = all(
            isinstance(value[end], int) and not isinstance(value[end], bool) for end in ("low", "high")
        )
        return Range(spec.low, spec.high, spec.log, whole, spec.off, spec.extend)
    raise ValueError(
        f"expected a value, a list of values or a table {{low, high, log, off}}, found {value!r}"
    )


SpaceSpec = dict[str, Annotated[Any, BeforeValidator(parse_dimension)]]


class SearchSpec(_Section):
    """What is searched, for how long, judged by what."""

    metric: str | None = Field(
        None,
        description="the metric you care about; `log_loss` for classes, `rmse` for numbers when left out",
    )
    backends: Names = Field(
        ("sklearn", "xgboost", "keras"),
        min_length=1,
        description="model families, in the order in which they take turns",
    )
    trials: int = Field(60, ge=1, le=100_000, description="number of trials over all backends")
    timeout: Duration = Field(
        600.0,
        description='limit for a whole invocation, such as `"10m"`; the search takes at most 60 % of it',
    )
    seed: int = Field(0, ge=0, lt=2**31, description="seed of every random choice")
    sampler: Literal["tpe", "random", "grid"] = Field(
        "tpe", description="how configurations are proposed; `grid` tries every combination of lists"
    )
    block: int | None = Field(
        None,
        ge=1,
        le=256,
        description="trials a backend runs in its turn; 8, or fewer for large data, when left out",
    )
    lookahead: int = Field(
        16,
        ge=1,
        le=1024,
        description="a trial is proposed when all but the last so many are known; fixes the search whatever runs it",
    )
    prune: bool = Field(True, description="give up a trial that is clearly worse after two folds")
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


class SelectSpec(_Section):
    """How the winner is chosen."""

    rule: Literal["best", "one_se"] = Field(
        "best",
        description="`best`: best score on fresh folds; `one_se`: the simplest within one standard error of it",
    )
    final: Literal["auto", "single"] = Field(
        "auto",
        description="`auto`: a blend where it is clearly better, else a bag of the winner, or one linear model; `single`: one model",
    )


class RegistrySpec(_Section):
    """Where the winner is kept."""

    model: str | None = Field(
        None, min_length=1, description="registered model name; the study's name when left out"
    )
    alias: str = Field("champion", description="alias that points at the newest winner")

    @field_validator("model")
    @classmethod
    def _storable(cls, name: str | None) -> str | None:
        if name is not None and re.search(r"[/:]", name):
            raise ValueError(f"a registered model's name holds no '/' or ':', found {name!r}")
        return name

    @field_validator("alias")
    @classmethod
    def _allowed(cls, alias: str) -> str:
        if not re.fullmatch(r"[A-Za-z][\w-]*", alias) or alias == "latest" or re.fullmatch(r"[vV]\d+", alias):
            raise ValueError(
                f"an alias is letters, digits, '-' and '_', not 'latest' or 'v1', found {alias!r}"
            )
        return alias


class Study(_Section):
    """A whole study file."""

    name: str = Field(
        min_length=1, max_length=200, description="name of the study and of its MLflow experiment"
    )
    data: DataSpec
    split: SplitSpec = SplitSpec()
    search: SearchSpec = SearchSpec()
    select: SelectSpec = SelectSpec()
    registry: RegistrySpec = RegistrySpec()
    _folder: Path = PrivateAttr(default=Path("."))
    _text: str = PrivateAttr(default="")

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
            key: dict(value) if isinstance(value, BaseModel) else value for key, value in self
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
        raw = tomllib.loads(text)
    except FileNotFoundError as error:
        raise StudyError(f"study file '{path}' does not exist; give the path of a .toml file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"study file '{path}' cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"study file '{path}' is not valid TOML: {error}") from error
    study = _parse(raw, str(path), path.resolve().parent)
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
    shown = "" if first["type"] == "value_error" else f", found {first['input']!r:.80}"
    return f"{name}: {message}{shown}{more}"


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


if __name__ == "__main__":  # python -m autoreg.spec README.md: write the reference between its marks
    import sys

    page = Path(sys.argv[1])
    marks = r"(<!-- reference -->\n).*?(<!-- /reference -->)"
    page.write_text(
        re.sub(marks, lambda m: m[1] + reference() + m[2], page.read_text(encoding="utf-8"), flags=re.S)
    )
