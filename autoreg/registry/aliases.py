"""Which version serves: the champion, its challenger, and the champion before it.

MLflow moves an alias in one call without compare-and-swap. On one host whoever moves one holds the model's lock
(``ledger.study_lock``); for hosts that know nothing of each other, see ``contend``.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from autoreg.errors import StudyError
from autoreg.tracking import found_or_none, quiet_client, reaching

PREVIOUS = "previous"
"""Alias of the version that was champion before the present one."""
CHALLENGER = "challenger"
"""Alias of the newest version that was tuned to replace the champion."""
CLAIM = "autoreg.claim"
"""Version tag: which champion a version was shown to beat, and by how much."""
ROLLED_BACK = "autoreg.rolled_back"
"""Version tag: when a person took it back."""
COLLISIONS = ("unique constraint", "duplicate", "integrityerror")
"""What databases say where two processes add the same row."""
ROUNDS = 20
"""Times an alias is looked at again while others move it, too."""


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
            _settled(client.set_model_version_tag, version.name, version.number, key, value[:5000])


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
        _settled(client.set_registered_model_tag, name, key, value)


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
        _withdraw(client, wanted)
        before = give_alias(client, name, wanted.number, alias)
        if before is not None:
            _note(client, wanted, f"promoted: {reason}")
        return before


def contend(name: str, number: str, alias: str, over: str, gain: float | None) -> str:
    """Let a challenger serve that was shown to be better than a champion, whoever else does the same elsewhere.

    Every contender first writes down whom it beats and by how much, then moves the alias, then reads what all
    have written, and moves the alias to the largest gain over that champion (of equal ones, to the newest version)
    until it finds it there. Whoever moves it last has read every contender that moved it before, so the alias ends
    on the best of them in whatever order their calls arrive. A champion that is none of them was put there by
    somebody else, and stays. Doing it again changes nothing.

    Parameters
    ----------
    name, number : str
        The challenger.
    alias : str
        The alias that serves.
    over : str
        Number of the champion that it beats.
    gain : float or None
        By how much, in the metric's unit; None where that was not asked.

    Returns
    -------
    str
        Number of the version that serves.
    """
    client = quiet_client()
    with reaching(str(client.tracking_uri)):
        text = json.dumps({"over": over, "gain": gain, "when": _now()})
        client.set_model_version_tag(name, number, CLAIM, text)
        for _ in range(ROUNDS):
            claims = _claims(client, name, over)
            best = max(claims, key=lambda n: (claims[n], int(n)), default=over)
            now = _at(client, name, alias)
            if now is not None and (now.number == best or now.number not in (over, *claims)):
                break
            _point(client, name, PREVIOUS, over)
            _point(client, name, alias, best)
        serving = best if now is None else now.number
        if serving != number:
            client.delete_model_version_tag(name, number, CLAIM)
        return serving


def _point(client: Any, name: str, alias: str, number: str) -> None:
    """Move an alias."""
    _settled(client.set_registered_model_alias, name, alias, number)


def _settled(put: Callable[..., Any], *what: str) -> None:
    """Set an alias or a tag; again where another process made it in the same moment, which a database refuses."""
    from mlflow.exceptions import MlflowException

    for pause in (0.05, 0.2, 1.0):
        try:
            put(*what)
            return
        except MlflowException as error:
            if not any(word in str(error).lower() for word in COLLISIONS):
                raise
        time.sleep(pause)
    put(*what)


def _claims(client: Any, name: str, over: str) -> dict[str, float]:
    """By how much every version is better that was shown to beat this champion, and was not taken back since."""
    quoted = name.replace("'", "''")
    found = {}
    for version in client.search_model_versions(f"name = '{quoted}'", max_results=10_000):
        claim = json.loads(version.tags.get(CLAIM, "{}"))
        if claim.get("over") == over and ROLLED_BACK not in version.tags:
            gain = claim.get("gain")
            found[str(version.version)] = -math.inf if gain is None else float(gain)
    return found


def _withdraw(client: Any, serving: Version) -> None:
    """A person wants a version to serve: nothing was shown to beat it, and it is not taken back any more."""
    for number in _claims(client, serving.name, serving.number):
        client.delete_model_version_tag(serving.name, number, CLAIM)
    if ROLLED_BACK in serving.tags:
        client.delete_model_version_tag(serving.name, serving.number, ROLLED_BACK)


def give_alias(client: Any, name: str, number: str, alias: str) -> Version | None:
    """Move an alias; the version that a serving alias leaves becomes ``previous``, and is returned."""
    before = None if alias == CHALLENGER else _at(client, name, alias)
    if before is not None and before.number == number:
        return None
    if before is not None:
        _point(client, name, PREVIOUS, before.number)
    _point(client, name, alias, number)
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
        _withdraw(client, before)
        client.set_model_version_tag(name, now.number, ROLLED_BACK, _now())
        _note(client, before, f"promoted: rolled back from version {now.number}")
        _note(client, now, f"rolled back to version {before.number}")
        _point(client, name, alias, before.number)
        _point(client, name, PREVIOUS, now.number)
        return before, now


def _note(client: Any, version: Version, what: str) -> None:
    """Keep on a version what happened to it, and when."""
    client.set_model_version_tag(version.name, version.number, "autoreg.gate", f"{_now()} {what}"[:5000])


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
