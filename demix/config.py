"""Typed, strict settings: the base class that every room's own settings derive from, and how files and flags fill them.

A room declares its settings beside its code (`class ShotsSettings(Settings)`), each field documented by the string
under it; `demix.recipe` puts the rooms' settings together. Unknown keys are errors that name the nearest known one.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from demix.errors import DemixError


class ConfigError(DemixError, ValueError):
    """A setting that cannot be used; the message names the setting, what is wrong and the remedy."""


class Settings(BaseModel):
    """Base of all settings: frozen, unknown keys refused, field docstrings kept as descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


class ModelSettings(Settings):
    """Base of the settings of one model. A stage's settings hold them under the model's name, marked `ChosenBy`."""


LEFT_OUT: Any = object()


@dataclass(frozen=True)
class Runtime:
    """Marks a setting that says how an answer is come by and never what it is: a limit, a time-out, an address.

        timeout_seconds: Annotated[float, Runtime()] = 180.0

    Changing it makes no answer invalid. It does make failures invalid: what a limit stopped is tried again when the
    limit is another one. A group of settings can be marked as a whole.
    """

    recorded: Any = LEFT_OUT
    """Only for settings that counted in earlier versions: the default that they had then, which stands in the
    fingerprint for ever, so that work stores of that time stay valid."""


@dataclass(frozen=True)
class ChosenBy:
    """Marks a group of settings that counts only where a neighbouring setting names it.

    cdx23: Annotated[Cdx23Settings, ChosenBy("three")] = Cdx23Settings()
    """

    fields: tuple[str, ...]
    value: str
    recorded: bool

    def __init__(self, *fields: str, value: str = "", recorded: bool = False):
        """`fields`: the settings beside it, of which one must be `value` (default: the group's own name). `recorded`:
        where it is not chosen it stands in the fingerprint with its defaults; for groups that always counted once."""
        object.__setattr__(self, "fields", fields)
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "recorded", recorded)

    def counts(self, settings: Settings, name: str) -> bool:
        """Whether the group `name` of these settings is chosen."""
        return (self.value or name) in [getattr(settings, field) for field in self.fields]


@dataclass(frozen=True)
class Added:
    """Marks a setting that came with a later version and whose default is what was done before: with its default it is
    no part of the fingerprint, so that older work stores stay valid."""


RUNTIME_NOTE = "*Changing it runs nothing again but what failed.*"

S = TypeVar("S", bound=Settings)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises `ConfigError` naming the file when it is absent, broken or not a mapping."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give --config an existing YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: the top level must be a mapping of settings, not {type(tree).__name__}")
    return tree


def parse_assignment(text: str) -> dict[str, Any]:
    """`a.b=value` (the form of `--set`) as a nested mapping; the value is read as YAML, so `-50` is a number."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"--set {text}: expected key.path=value, for instance demixing.silence_db=-50")
    try:
        parsed: Any = yaml.safe_load(value) if value else ""
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: the value is not valid YAML: {error}") from error
    for key in reversed(path.strip().split(".")):
        parsed = {key: parsed}
    return parsed


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings laid over one another, later ones winning key by key at every depth."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping) and isinstance(merged.get(key), dict):
                merged[key] = merge(merged[key], value)
            else:
                merged[key] = merge(value) if isinstance(value, Mapping) else value
    return merged


def validate(kind: type[S], tree: Mapping[str, Any]) -> S:
    """`tree` as settings of `kind`; every problem is listed with its full path, unknown keys with the nearest name."""
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        problems = "\n".join(f"  {_explain(kind, problem)}" for problem in error.errors())
        raise ConfigError(f"the configuration has {error.error_count()} problem(s):\n{problems}") from error


def _explain(kind: type[Settings], problem: Any) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        # A rule between settings is given all of them, which is thousands of characters; its message names the fields.
        got = "" if isinstance(problem["input"], Mapping) else f" (got {problem['input']!r})"
        return f"{path}: {problem['msg']}{got}".removeprefix(": ")
    known = _keys_at(kind, problem["loc"][:-1])
    near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
    return f"{path}: no such setting; " + (f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}")


def _keys_at(kind: type[Settings], path: Iterable[Any]) -> list[str]:
    groups: Any = None
    for part in path:
        inner = groups or getattr(kind.model_fields.get(str(part)), "annotation", None)
        groups = get_args(inner)[1] if get_origin(inner) is dict else None  # a mapping: the next part is any name
        if groups is not None:
            continue
        if not (isinstance(inner, type) and issubclass(inner, Settings)):
            return []
        kind = inner
    return list(kind.model_fields)


def reference(kind: type[Settings]) -> str:
    """Every setting of `kind` as Markdown: one table per group, with type, default and meaning."""
    lines: list[str] = []
    _describe(kind, "", lines)
    return "\n".join(lines)


def _describe(kind: type[Settings], path: str, lines: list[str], runtime: bool = False) -> None:
    groups = {name: field for name, field in kind.model_fields.items() if _is_group(field.annotation)}
    plain = {name: field for name, field in kind.model_fields.items() if name not in groups}
    if plain:
        about = (kind.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")
        lines += [
            f"## {path or 'top level'}",
            "",
            about,
            "",
            "| setting | type | default | meaning |",
            "|---|---|---|---|",
        ]
        for name, field in plain.items():
            default = json.dumps(field.get_default(call_default_factory=True), default=_plain)
            meaning = " ".join((field.description or "").split()).replace("|", "\\|")
            if runtime or is_runtime(field):
                meaning += f" {RUNTIME_NOTE}"
            shown = _type_name(field.annotation).replace("|", "\\|")
            lines.append(f"| `{path + '.' if path else ''}{name}` | {shown} | `{default}` | {meaning} |")
        lines.append("")
    for name, field in groups.items():
        inner = f"{path}.{name}" if path else name
        _describe(field.annotation, inner, lines, runtime or is_runtime(field))  # type: ignore[arg-type]


def is_runtime(field: FieldInfo) -> bool:
    """Whether a setting is marked `Runtime`."""
    return any(isinstance(mark, Runtime) for mark in field.metadata)


def _is_group(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Settings)


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, Settings) else str(value)
