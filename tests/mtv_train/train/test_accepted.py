"""After a resume with --accept-changes every setting of the new call is in force, or its change is refused in a line.

The walk is over all settings that there are: a new one must be said here to be of one kind or another.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from demix.config import ConfigError, validate
from mtv_train.config import OptimSettings, StageSettings, TrainSettings, flat
from mtv_train.distributed.ema import Ema, local
from mtv_train.distributed.names import parameter_name
from mtv_train.train import identity, optim
from mtv_train.train.export import Exported
from mtv_train.train.loop import Trainer
from tests.mtv_train.train.ranks import in_ranks, train_toy
from tests.mtv_train.train.toy import SUBSETS, Toy, toy_settings

OTHER: dict[str, Any] = {
    "data.dataset": "elsewhere",
    "data.cache": "elsewhere",
    "data.storage_options": {"key": "value"},
    "data.subset": "basic_face",
    "data.index_cache": "elsewhere",
    "data.cached": ["text"],
    "data.window.fps": "25",
    "data.window.tracks": ["music", "effects", "speech"],
    "data.window.frames": 9,
    "data.window.height": 48,
    "data.window.width": 48,
    "model.source": "elsewhere",
    "model.init": "elsewhere",
    "model.revision": "v2",
    "model.audio_encoder": "elsewhere",
    "model.encoders.vae_channels": [8, 8, 16, 16],
    "model.backbone.attention_head_dim": 32,
    "model.backbone.sample_frames": 9,
    "model.backbone.sample_height": 6,
    "model.backbone.sample_width": 6,
    "model.mtv.audio_dim": 36,
    "model.mtv.interval_heads": 2,
    "optim.betas": [0.5, 0.6],
    "optim.ema": 0.9,
    "optim.batch": 8,
    "parallel.replicate": 1,
    "log.wandb": "",
}
"""Another value of settings for which none is made by rule. With one rank, and without wandb, two have no other."""

TOGETHER: dict[str, dict[str, Any]] = {
    "data.cached": {"data.cache": "elsewhere"},
    "data.window.audio_radius": {"model.mtv.audio_window": 3},
    "model.mtv.audio_window": {"data.window.audio_radius": 3},
    "model.mtv.speech_tracks": {"data.window.tracks": ["speech", "speech2", "effects", "music"]},
    "data.window.frames": {"model.backbone.sample_frames": 9},
    "model.backbone.sample_frames": {"data.window.frames": 9},
    "data.window.height": {"model.backbone.sample_height": 6},
    "data.window.width": {"model.backbone.sample_width": 6},
    "model.backbone.sample_height": {"data.window.height": 48},
    "model.backbone.sample_width": {"data.window.width": 48},
    "model.backbone.use_rotary_positional_embeddings": {"model.backbone.use_learned_positional_embeddings": False},
}
"""Settings that must change together with another."""

ANOTHER_MODEL = {
    "model.backbone.num_attention_heads",
    "model.backbone.attention_head_dim",
    "model.backbone.num_layers",
    "model.backbone.in_channels",
    "model.backbone.out_channels",
    "model.backbone.time_embed_dim",
    "model.backbone.text_embed_dim",
    "model.backbone.max_text_seq_length",
    "model.backbone.patch_size",
    "model.backbone.sample_width",
    "model.backbone.sample_height",
    "model.backbone.sample_frames",
    "model.backbone.use_rotary_positional_embeddings",
    "model.backbone.use_learned_positional_embeddings",
    "model.lora.rank",
    "model.mtv.speech_tracks",
    "model.mtv.extraction",
    "model.mtv.injection",
    "model.mtv.feature_layers",
    "model.mtv.feature_dim",
    "model.mtv.audio_window",
    "model.mtv.projector_dim",
    "model.mtv.audio_tokens",
    "model.mtv.audio_dim",
    "model.mtv.temporal_conv",
    "model.mtv.interval_blocks",
    "data.window.frames",
    "data.window.height",
    "data.window.width",
    "data.window.audio_radius",
}
"""Settings that shape parameters: a run cannot go on under another value."""

NOT_HERE = {"model.weights"}
"""There are no pretrained weights here."""


def course(**parts: Any) -> TrainSettings:
    stages = {name: StageSettings(steps=2, weights={name: 1.0}) for name in SUBSETS}
    return toy_settings(**{"stages": stages, **parts})


def other_value(name: str, value: Any) -> Any:
    """A value of the setting that is not `value`. Raises AssertionError where no rule makes one."""
    if name in OTHER:
        return OTHER[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 0.5 if value else 0.5
    if isinstance(value, str):
        return next(choice for choice in choices(name) if choice != value)
    raise AssertionError(f"{name}={value!r}: say in this file what another value of it is")


def choices(name: str) -> tuple[str, ...]:
    kind: Any = TrainSettings
    for part in name.split("."):
        kind = kind.model_fields[part].annotation
    return tuple(choice for choice in kind.__args__ if isinstance(choice, str))


def changed(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {key: dict(value) if isinstance(value, Mapping) else value for key, value in tree.items()}
    for name, value in changes.items():
        *path, last = name.split(".")
        place = result
        for part in path:
            place[part] = dict(place[part])
            place = place[part]
        place[last] = value
    return result


def resumed(run: Path, settings: TrainSettings) -> str:
    """What becomes of a run that goes on with other settings: "" if they are in force, or why not."""
    try:
        return not_in_force(Toy(settings, run, accept_changes=True).trainer(), settings)
    except ConfigError as error:
        return f"refused: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def walk(run: Path, names: Sequence[str]) -> dict[str, str]:
    """Each setting with what becomes of another value of it."""
    tree = course().model_dump(mode="json")
    found = {}
    for name in names:
        changes = {name: other_value(name, flat(tree)[name]), **TOGETHER.get(name, {})}
        found[name] = resumed(run, validate(TrainSettings, changed(tree, changes)))
    return found


def not_in_force(trainer: Trainer, settings: TrainSettings) -> str:
    """What of a resumed trainer is not as one that is made anew with these settings."""
    fresh = optim.make_optimizer(trainer.model, settings.optim)
    for mine, theirs in zip(trainer.optimizer.param_groups, fresh.param_groups, strict=True):
        for key in theirs:
            if key != "params" and mine[key] != theirs[key]:
                return f"the optimizer's {key} is {mine[key]}, not {theirs[key]}"
    if trainer.settings != settings or trainer.position.step != 2:
        return f"not these settings, or step {trainer.position.step}"
    if (trainer.ema.decay if trainer.ema else 0) != settings.optim.ema:
        return "another decay of the average"
    return ""


def check(found: Mapping[str, str]) -> None:
    for name, said in found.items():
        if name in ANOTHER_MODEL:
            assert "is the save of another model" in said, (name, said)
            assert "\n" not in said
        else:
            assert said == "", (name, said)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps, saved."""
    run = tmp_path_factory.mktemp("begun")
    in_ranks(1, train_toy, lambda: Toy(course(), run, stop_after=2))
    return run


@pytest.mark.slow
def test_every_setting_is_in_force_or_refused(begun: Path) -> None:
    names = [name for name in flat(course().model_dump(mode="json")) if name not in NOT_HERE]
    assert len(names) > 120
    check(in_ranks(1, walk, begun, names)[0])


def test_what_a_save_would_bring_back_is_not_brought_back(begun: Path) -> None:
    """The settings that a save's own state could override, and some that it cannot be loaded under."""
    optimizer = [f"optim.{name}" for name in ("lr", "betas", "eps", "weight_decay", "ema")]
    check(in_ranks(1, walk, begun, [*optimizer, "model.train_backbone", "model.backbone.num_layers"])[0])


def go_on(run: Path, settings: TrainSettings) -> tuple[list[str], dict[str, float], list[str]]:
    """What the log says, how far each average is from its parameter, and whose optimizer state is new, of a trainer
    that has just resumed; then it trains to the end."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("mtv_train").addHandler(handler)
    trainer = Toy(settings, run, accept_changes=True).trainer()
    parameters = {
        parameter_name(name): value for name, value in trainer.model.named_parameters() if value.requires_grad
    }
    averages = trainer.ema.average if trainer.ema is not None else {}
    far = {
        name: float((local(average) - local(parameters[name].detach())).abs().max())
        for name, average in averages.items()
    }
    state = {name: trainer.optimizer.state[value] for name, value in parameters.items()}
    new = [name for name, values in state.items() if not float(local(values["step"]))]
    assert all(float(local(state[name]["exp_avg"]).abs().max()) == 0 for name in new)
    position = trainer.fit()
    assert position.step == 4
    return said, far, new


@pytest.mark.parametrize("ema", [0.0, pytest.param(0.9, marks=pytest.mark.slow)])
def test_what_a_save_does_not_hold_begins_afresh_and_is_named(ema: float, tmp_path: Path) -> None:
    """A run without an average of which no backbone was trained goes on with both."""
    none = course().model_copy(update={"optim": OptimSettings(batch=4, lr=1e-3, warmup_steps=2, ema=ema)})
    less = none.model_copy(update={"model": none.model.model_copy(update={"train_backbone": "none"})})
    more = course().model_copy(update={"model": none.model.model_copy(update={"train_backbone": "all"})})
    in_ranks(1, train_toy, lambda: Toy(less, tmp_path, stop_after=2))
    [(said, far, new)] = in_ranks(1, go_on, tmp_path, more)
    assert new
    assert any(f"no optimizer state of {len(new)} of" in line for line in said)
    assert any("no moving average of" in line for line in said)
    assert {name for name, distance in far.items() if not distance} >= set(new if ema else far)
    assert (max(far.values()) > 0) == bool(ema)


def test_an_old_average_is_known_to_lag(tmp_path: Path) -> None:
    """Saves of earlier versions do not say how far their average has come: it had the full decay from the start."""
    assert identity.average({"position": {"step": 2000}, "settings": {"optim": {"ema": 0.9999}}})[1] > 0.8
    ema = Ema(torch.nn.Linear(1, 1), 0.9999)
    for _ in range(30):
        ema.update()
    assert ema.start_share < 1e-6
    assert not Exported(30, True, ema.start_share).warning
    assert "82% of this moving average still is what it began with" in Exported(2000, True, 0.9999**2000).warning
    assert not Exported(2000, False, 0.0).warning


def test_the_average_shows_what_was_learnt(tmp_path: Path) -> None:
    """Thirty steps towards another place: at a decay of 0.9999 the average is most of the way there."""
    place = torch.nn.Linear(4, 4)
    ema = Ema(place, 0.9999)
    began = place.weight.detach().clone()
    with torch.no_grad():
        for _ in range(30):
            place.weight += 1.0
            ema.update()
    travelled = (ema.average["weight"] - began).mean()
    assert 20 < travelled < 30
    ema.updates = 100_000
    assert min(ema.decay, (1 + ema.updates) / (10 + ema.updates)) == 0.9999
