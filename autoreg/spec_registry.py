"""What a study file says of the registered model: where the winner is kept, and when it is tuned again."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from autoreg.errors import did_you_mean
from autoreg.spec_parts import Duration, Names, Section, printable

WHEN = ("always", "new_rows", "drift", "degraded", "age")


class RegistrySpec(Section):
    """Where the winner is kept."""

    model: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="registered model name; the study's name when left out",
    )
    alias: str = Field("champion", description="alias that points at the newest winner")
    example: bool = Field(
        True,
        description="keep five raw rows with the model, as the example that MLflow shows; `false` where rows are private",
    )
    predictions: bool = Field(
        True,
        description="keep every trial's out-of-fold predictions with its run; `false`: on this machine alone, until the study ends",
    )

    @field_validator("model")
    @classmethod
    def _storable(cls, name: str | None) -> str | None:
        if name is not None and re.search(r"[/:]", name):
            raise ValueError(f"a registered model's name holds no '/' or ':', found {name!r}")
        return name if name is None else printable(name)

    @field_validator("alias")
    @classmethod
    def _allowed(cls, alias: str) -> str:
        if not re.fullmatch(r"[A-Za-z][\w-]*", alias) or alias == "latest" or re.fullmatch(r"[vV]\d+", alias):
            raise ValueError(
                f"an alias is letters, digits, '-' and '_', not 'latest' or 'v1', found {alias!r}"
            )
        return alias


class RetuneSpec(Section):
    """When a scheduled retune is due, and when its winner serves."""

    when: Names = Field(
        ("always",),
        min_length=1,
        description="`always`, `new_rows`, `drift`, `degraded` or `age`; where several are named, one that holds is enough",
    )
    new_rows: int = Field(
        100, ge=1, description="for `new_rows`: so many rows that the champion's study did not have"
    )
    older_than: Duration = Field(
        604_800.0, description='for `age`: how old the champion may get, such as `"7d"`'
    )
    gate: Literal["superior", "non_inferior", "always"] = Field(
        "superior",
        description="`superior`: promote when better by more than `margin` with a probability of .95; `non_inferior`: when not worse by more than it; `always`",
    )
    margin: float = Field(0.0, ge=0, description="difference that does not matter, in units of the metric")

    @field_validator("when")
    @classmethod
    def _known(cls, when: tuple[str, ...]) -> tuple[str, ...]:
        for name in when:
            if name not in WHEN:
                raise ValueError(
                    f"expected any of {', '.join(WHEN)}, found {name!r}{did_you_mean(name, WHEN)}"
                )
        return when

    @model_validator(mode="after")
    def _margin(self) -> RetuneSpec:
        if self.gate == "non_inferior" and self.margin == 0:
            raise ValueError('gate = "non_inferior" needs a margin above 0: how much worse is still as good')
        return self
