"""Versions and aliases: package a winner, register it once, point aliases at it, load it again."""

from autoreg.registry.aliases import CHALLENGER, PREVIOUS, Version, annotate, promote, rollback, version_at
from autoreg.registry.models import Registration, load_package, register, requirements

__all__ = [
    "CHALLENGER",
    "PREVIOUS",
    "Registration",
    "Version",
    "annotate",
    "load_package",
    "promote",
    "register",
    "requirements",
    "rollback",
    "version_at",
]
