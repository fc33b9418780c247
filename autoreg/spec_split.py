"""How a study file says that its table is divided: honestly, or as the authors of an experiment did."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from autoreg.spec_parts import Section

PUBLISHED = ("train", "order", "random_state", "stratify", "validation")
"""Keys that say how the authors of an experiment divided their rows; refused without ``reproduce = true``."""
HONEST = ("holdout", "folds", "estimate", "stop")
"""Keys of an ordinary study, which a reproduced one has no use for."""


def _share_or_rows(value: Any) -> Any:
    """A share between 0 and 1, or a number of rows."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if (whole and value >= 1) or (isinstance(value, float) and 0 < value < 1):
        return value
    raise ValueError(
        f"expected a share between 0 and 1 such as 0.8, or a number of rows such as 30, found {value!r}"
    )


class SplitSpec(Section):
    """How the table is divided."""

    holdout: float = Field(0.2, ge=0.05, le=0.5, description="share of rows looked at once, at the very end")
    folds: int = Field(
        5,
        ge=2,
        le=20,
        description="number of folds of the search; where it is left out and rows are many (more than 10,000 and 80,000 cells outside the holdout), trials are fitted on one of five",
    )
    estimate: Literal["holdout", "nested", "none"] = Field(
        "holdout",
        description="`nested`: no rows are held out, the whole search is repeated in every outer fold (small data; costs `folds` times more); `none`: nor is it repeated, and only the search's corrected score is told",
    )
    stop: float = Field(
        0.15, ge=0.0, le=0.5, description="share of a fold's training rows that decides when training stops"
    )
    reproduce: bool = Field(
        False,
        description="repeat a published experiment on its authors' own division into train and test rows: nothing is held out and nothing is registered",
    )
    train: Annotated[int | float, BeforeValidator(_share_or_rows)] = Field(
        0.8,
        description="with `reproduce`: share of the rows that train, or their number; the others are scored",
    )
    order: Literal["shuffled", "first"] = Field(
        "shuffled",
        description="with `reproduce`: `shuffled` gives the rows of scikit-learn's `train_test_split`, `first` trains on the first rows",
    )
    random_state: int = Field(
        42, ge=0, lt=2**32, description="with `reproduce`: the seed of `train_test_split`"
    )
    stratify: bool = Field(
        False, description="with `reproduce`: keep the shares of the classes in both parts"
    )
    validation: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="with `reproduce`: share of the train rows, the last ones, that decides when training stops, as Keras' `validation_split` does; 0: the scored rows decide, as the authors had it",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> SplitSpec:
        given = self.model_fields_set
        for name in () if self.reproduce else PUBLISHED:
            if name in given:
                raise ValueError(
                    f"{name} repeats a published split: add reproduce = true, or leave {name} out"
                )
        for name in HONEST if self.reproduce else ():
            if name in given:
                raise ValueError(
                    f"{name} has no part in a published split: leave it out, or leave reproduce = true out"
                )
        for name in ("random_state", "stratify") if self.order == "first" else ():
            if name in given and getattr(self, name):
                raise ValueError(
                    f'{name} has no part in order = "first": leave it out, or set order = "shuffled"'
                )
        return self
