"""The section of a study file that holds what a source published, to be shown beside what the study finds."""

from __future__ import annotations

from pydantic import Field, model_validator

from autoreg.spec_parts import Section
from autoreg.trial import Scalar


class FigureSpec(Section):
    """One published figure, and the trials that repeat it."""

    match: dict[str, Scalar] = Field(
        {},
        description="values of the trials it stands beside; a name that a trial does not have counts as off",
    )
    name: str | None = Field(None, min_length=1, max_length=80, description="what it is called in tables")
    train: float | None = Field(None, description="published score on training rows, in the study's metric")
    test: float | None = Field(None, description="published score on the other rows, in the study's metric")
    epochs: float | None = Field(None, gt=0, description="published number of epochs")
    says: str | None = Field(None, min_length=1, max_length=200, description="what was said without a number")

    @model_validator(mode="after")
    def _something(self) -> FigureSpec:
        if self.name is None and not self.match:
            raise ValueError("a figure needs a name, or a match to be named by")
        return self

    @property
    def title(self) -> str:
        """Its name, or what it matches."""
        return self.name or ", ".join(f"{key}={value}" for key, value in self.match.items())


class PublishedSpec(Section):
    """What a source published; changes no trial, and is no part of what identifies a study."""

    source: str = Field("", description="where the figures come from, in words")
    figures: tuple[FigureSpec, ...] = Field(
        (),
        description="list of `{match, name, train, test, epochs, says}`: published figures to show beside this study's own; the trials of the first four are drawn side by side",
    )

    @model_validator(mode="after")
    def _distinct(self) -> PublishedSpec:
        names = [figure.title for figure in self.figures]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"figures must differ in their names, found {twice!r} twice")
        return self
