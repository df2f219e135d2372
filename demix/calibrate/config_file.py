"""A finished dataset's settings with other thresholds, as a file for `demix build --config`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from demix.config import Settings, merge, validate
from demix.recipe import BuildSettings, load_settings
from demix.store import atomic

HEAD = """\
# Written by `demix calibrate`. Give it to the build that made the dataset:
#
#     demix build FILMS --output DATASET --config {name}
#
# It holds every setting that differs from the profile `lite`, so no --profile and no --set is needed with it.
"""


def settings_with(config: Mapping[str, Any], thresholds: Mapping[str, float]) -> BuildSettings:
    """The settings in a dataset's build.json, with thresholds (dotted setting -> value) in their places."""
    tree = dict(config)
    for setting, value in thresholds.items():
        layer: Any = value
        for part in reversed(setting.split(".")):
            layer = {part: layer}
        tree = merge(tree, layer)
    return validate(BuildSettings, tree)


def write_config(path: Path, settings: BuildSettings) -> None:
    """What differs from `lite`, as YAML."""
    lite = load_settings()
    tree = _difference(settings.model_copy(update={"engine": lite.engine}), lite)
    with atomic(path) as aside:
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
        aside.write_text(HEAD.format(name=path.name) + text, encoding="utf-8")


def _difference(settings: Settings, base: Settings) -> dict[str, Any]:
    """The settings that are others in `base`. A mapping of free names, such as limits by score, stays whole: it is
    replaced as a whole when it is read."""
    plain = settings.model_dump(mode="json")
    return {
        name: _difference(value, getattr(base, name)) if isinstance(value, Settings) else plain[name]
        for name, value in settings
        if value != getattr(base, name)
    }
