"""Which version serves: the champion, its challenger, and the champion before it.

Moving an alias is one call without compare-and-swap, so whoever moves one holds the model's lock (``ledger.model_lock``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoreg.errors import StudyError
from autoreg.tracking import found_or_none, quiet_client, reaching

PREVIOUS = "previous"
"""Alias of the version that was champion before the present one."""
CHALLENGER = "challenger"
"""Alias of the newest version that was tuned to replace the champion."""


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes
    ----------
    name, number : str
    run_id : str
        Parent run of the study that made it.
    tags : mapping of str to str
    created : float
        Seconds since the epoch.
    """

    name: str
    number: str
    run_id: str
    tags: Mapping[str, str]
    created: float

    @property
    def uri(self) -> str:
        """Where MLflow finds it, whatever its aliases."""
        return f"models:/{self.name}/{self.number}"


def version_at(name: str, place: str) -> Version | None:
    """The version of a model that has this alias or this number, or None where there is none.

    Raises
    ------
    TrackingUnavailable
        The store cannot be reached.
    """
    client = quiet_client()
    with reaching(str(client.tracking_uri)):
        return _at(client, name, place)


def _at(client: Any, name: str, place: str) -> Version | None:
    get = client.get_model_version if place.isdecimal() else client.get_model_version_by_alias
    found = found_or_none(get, name, place)
    if found is None:
        return None
    return Version(
        name, str(found.version), str(found.run_id), dict(found.tags), found.creation_timestamp / 1000
    )


def annotate(version: Version, tags: Mapping[str, str]) -> None:
    """Set tags of a version."""
    client = quiet_client()
    with reaching(str(client.tracking_uri)):
        for key, value in tags.items():
            client.set_model_version_tag(version.name, version.number, key, value[:5000])


def model_tags(name: str) -> dict[str, str]:
    """Tags of a registered model as a whole; none where there is no such model."""
    client = quiet_client()
    with reaching(str(client.tracking_uri)):
        found = found_or_none(client.get_registered_model, name)
        return {} if found is None else dict(found.tags)


def tag_model(name: str, key: str, value: str) -> None:
    """Set a tag of a registered model as a whole."""
    client = quiet_client()
    with reaching(str(client.tracking_uri)):
        client.set_registered_model_tag(name, key, value)


def promote(name: str, number: str, alias: str, reason: str) -> Version | None:
    """Let a version serve: it gets the alias, and the version that had it becomes ``previous``.

    ``previous`` is moved first, so that a crash between the two calls leaves a champion that serves. Doing it again
    changes nothing.

    Returns
    -------
    Version or None
        The champion before; None where there was none, or where it is the same version.

    Raises
    ------
    StudyError
        There is no such version.
    """
    client = quiet_client()
    with reaching(str(client.tracking_uri)):
        wanted = _at(client, name, number)
        if wanted is None:
            raise StudyError(f"model '{name}' has no version {number}; see its versions in MLflow")
        before = give_alias(client, name, wanted.number, alias)
        if before is not None:
            _note(client, wanted, f"promoted: {reason}")
        return before


def give_alias(client: Any, name: str, number: str, alias: str) -> Version | None:
    """Move an alias; the version that a serving alias leaves becomes ``previous``, and is returned."""
    before = None if alias == CHALLENGER else _at(client, name, alias)
    if before is not None and before.number == number:
        return None
    if before is not None:
        client.set_registered_model_alias(name, PREVIOUS, before.number)
    client.set_registered_model_alias(name, alias, number)
    return before


def rollback(name: str, alias: str) -> tuple[Version, Version]:
    """Let the champion before the present one serve again; the two change places.

    Returns
    -------
    (Version, Version)
        The champion now, and the one it replaces.

    Raises
    ------
    StudyError
        There is no champion, or none before it.
    """
    client = quiet_client()
    with reaching(str(client.tracking_uri)):
        now, before = _at(client, name, alias), _at(client, name, PREVIOUS)
        if now is None:
            raise StudyError(f"model '{name}' has no version with the alias '{alias}'; nothing to roll back")
        if before is None or before.number == now.number:
            raise StudyError(
                f"model '{name}' had no champion before version {now.number}; nothing to go back to"
            )
        _note(client, before, f"promoted: rolled back from version {now.number}")
        _note(client, now, f"rolled back to version {before.number}")
        client.set_registered_model_alias(name, alias, before.number)
        client.set_registered_model_alias(name, PREVIOUS, now.number)
        return before, now


def _note(client: Any, version: Version, what: str) -> None:
    """Keep on a version what happened to it, and when."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    client.set_model_version_tag(version.name, version.number, "autoreg.gate", f"{when} {what}"[:5000])
