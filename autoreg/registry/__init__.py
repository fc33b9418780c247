"""Versions and aliases: package a winner, register it once, point aliases at it, load it again."""

from autoreg.registry.aliases import (
    CHALLENGER,
    PREVIOUS,
    ROLLED_BACK,
    Version,
    annotate,
    contend,
    model_tags,
    promote,
    rollback,
    tag_model,
    version_at,
)
from autoreg.registry.models import JUDGED, Registration, load_package, register, requirements

__all__ = [
    "CHALLENGER",
    "JUDGED",
    "PREVIOUS",
    "ROLLED_BACK",
    "Registration",
    "Version",
    "annotate",
    "contend",
    "load_package",
    "model_tags",
    "promote",
    "register",
    "requirements",
    "rollback",
    "tag_model",
    "version_at",
]
