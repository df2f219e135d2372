"""Fingerprints: what an answer of a stage depends on, as 32 hex digits that the ledger keeps it under.

Of a stage's settings only those count that an answer depends on. Which do not is declared where a setting is declared
(`demix.config`: `Runtime`, `ChosenBy`, `Added`), never here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic.fields import FieldInfo

from demix.config import LEFT_OUT, Added, ChosenBy, Runtime, Settings
from demix.stage import Stage

_M = TypeVar("_M")


def fingerprint(stage: Stage, upstream: Mapping[str, str], *, former: bool = False) -> str:
    """32 hex digits over everything an answer of `stage` depends on.

    `upstream` maps the names of earlier stages' records to their fingerprints; only those that the stage needs count.
    What it goes by `by_content` is part of the key instead, under which the ledger keeps an answer. `former`: as
    versions said that knew no runtime settings; for work stores which they left.
    """
    parts = {
        "name": stage.name,
        "version": stage.version,
        "settings": result_settings(stage.settings, former=former),
        "revision": stage.revision(),
        "needs": {kind.name: upstream[kind.name] for kind in stage.needs if kind not in stage.by_content},
    }
    return _digest(parts)


def failure_fingerprint(stage: Stage, answers: str) -> str:
    """What a stage's failures are kept under, given the fingerprint of its answers: the same with all runtime settings
    at their defaults, else another. A failure holds only for the limits and time-outs that it came about under."""
    changed = changed_runtime(stage.settings)
    return _digest({"answers": answers, "runtime": changed}) if changed else answers


def result_settings(settings: Settings, *, former: bool = False) -> dict[str, Any]:
    """The settings that an answer depends on, as plain data. Others either are absent, or stand with a value that is
    always the same: they counted once, and fingerprints of that time must not change."""
    plain = settings.model_dump(mode="json")
    counted: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        runtime, chosen = _mark(field, Runtime), _mark(field, ChosenBy)
        if runtime is not None and (runtime.recorded is LEFT_OUT or not former):
            if runtime.recorded is not LEFT_OUT:
                counted[name] = runtime.recorded
            continue
        if chosen is not None and not chosen.counts(settings, name):
            if not chosen.recorded:
                continue
            value = value if former else field.get_default(call_default_factory=True)
        if _mark(field, Added) is not None and value == field.get_default(call_default_factory=True):
            continue
        counted[name] = result_settings(value, former=former) if isinstance(value, Settings) else plain[name]
    return counted


def changed_runtime(settings: Settings, path: str = "") -> dict[str, Any]:
    """Path -> value of the runtime settings that do not have their defaults, without those that are not chosen."""
    changed: dict[str, Any] = {}
    plain = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        value, chosen = getattr(settings, name), _mark(field, ChosenBy)
        if chosen is not None and not chosen.counts(settings, name):
            continue
        if _mark(field, Runtime) is not None:
            if value != field.get_default(call_default_factory=True):
                changed[f"{path}{name}"] = plain[name]
        elif isinstance(value, Settings):
            changed |= changed_runtime(value, f"{path}{name}.")
    return changed


def _mark(field: FieldInfo, kind: type[_M]) -> _M | None:
    return next((mark for mark in field.metadata if isinstance(mark, kind)), None)


def _digest(parts: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()
