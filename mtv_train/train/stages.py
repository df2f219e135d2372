"""From the stages of the settings to what the loader draws from."""

from __future__ import annotations

from collections.abc import Mapping

from demix.config import ConfigError
from mtv_train.config import StageSettings
from mtv_train.data.order import StageMix, Windows, chain


def mixes(
    stages: Mapping[str, StageSettings], index: Windows, counts: Mapping[str, int], skip_empty: bool = False
) -> tuple[dict[str, StageMix], list[str]]:
    """What each stage draws from, and notices about what is left out.

    `counts`: windows a subset of the dataset has. A stage that draws from a subset without a window raises
    `ConfigError`; with `skip_empty` the subset is left out, and a stage of which nothing is left with it.
    """
    kept: list[StageMix] = []
    notices: list[str] = []
    for name, stage in stages.items():
        wanted = {subset: weight for subset, weight in stage.weights.items() if weight > 0}
        empty = [subset for subset in wanted if not counts.get(subset)]
        if empty and not skip_empty:
            there = ", ".join(f"{subset} {count}" for subset, count in counts.items()) or "none"
            raise ConfigError(
                f"stages.{name} draws from {', '.join(empty)}, of which the dataset has no window (windows: {there}); "
                "change stages or the dataset, or give --skip-empty-stages to go on without"
            )
        full = {subset: weight for subset, weight in wanted.items() if subset not in empty}
        if empty:
            notices.append(
                f"stage {name}: no window of {', '.join(empty)}; "
                + ("goes on with " + ", ".join(full) if full else "the stage is skipped")
            )
        if full:
            kept.append(StageMix(name, full, stage.replay if kept else 0.0))
    if not kept:
        asked = dict.fromkeys(subset for stage in stages.values() for subset in stage.weights)
        there = ", ".join(f"{subset} {count}" for subset, count in counts.items()) or "none"
        raise ConfigError(
            f"no stage has a single window to draw from: the stages draw from {', '.join(asked)}, and the dataset's "
            f"windows are: {there}; change stages or the dataset (data.subset says what clips are that name no subset)"
        )
    return {mix.name: mix for mix in chain(kept)}, notices
