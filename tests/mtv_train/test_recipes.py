"""Guards: recipes are complete, differ as the ablations say, print and read back; slips of the pen are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from demix.config import ConfigError
from mtv_train.config import TrainSettings, differences, flat
from mtv_train.recipes import RECIPES, load


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_being_printed(name: str, tmp_path: Path) -> None:
    settings = load(name)
    printed = tmp_path / "mine.yaml"
    printed.write_text(settings.model_dump_json())
    assert load(str(printed)) == settings


def test_five_stages_of_forty_thousand_steps() -> None:
    settings = load("mtv_5b")
    assert [(name, stage.steps) for name, stage in settings.stages.items()] == [
        (name, 40_000)
        for name in ("basic_face", "single_character", "multiple_characters", "sound_event", "visual_mood")
    ]
    assert all(stage.weights == {name: 1.0} for name, stage in settings.stages.items())
    assert settings.latent_shape == (13, 16, 60, 90)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("without_se", {"model.mtv.extraction": "joint"}),
        ("without_si", {"model.mtv.injection": "shared"}),
        ("without_tb", {"model.train_backbone": "none"}),
    ],
)
def test_an_ablation_changes_one_setting(name: str, changed: dict[str, str]) -> None:
    whole, ablated = (flat(load(recipe).model_dump(mode="json")) for recipe in ("mtv_5b", name))
    assert {key: value for key, value in ablated.items() if whole[key] != value} == changed


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("optim.lrr=1", "optim.lrr: no such setting; did you mean lr?"),
        ("stages.basic_fac.steps=1", "did you mean basic_face?"),
        ("stages.basic_face.stepz=1", "stages.basic_face.stepz: no such setting; did you mean steps?"),
        ("model.mtv.zero_int=1", "did you mean zero_init?"),
        ("data.window.frames=10", "is not 1 \\+ 4n"),
        ("data.window.height=100", "multiples of 16"),
        ("data.window.tracks=[speech]", "what the model listens to"),
        ("data.window.audio_radius=1", "must equal model.mtv.audio_window"),
        ("data.window.height=96", "learned positions are for"),
        ("stages.basic_face.weights={basic_face: 0}", "a weight above 0"),
    ],
)
def test_a_wrong_setting_is_named(assignment: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load("tiny", assignments=[assignment])


def test_a_wrong_recipe_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean mtv_5b"):
        load("mtv_5")


def test_a_tree_cannot_be_replicated() -> None:
    with pytest.raises(ConfigError, match=r"cannot be used with parallel\.replicate"):
        load("tiny", assignments=["parallel.reduction=tree", "parallel.replicate=2"])


def _tree(*assignments: str) -> dict[str, object]:
    return load("tiny", assignments=assignments).model_dump(mode="json")


def test_only_what_shapes_the_learning_counts_as_a_difference() -> None:
    free = ("parallel.micro_batch=2", "log.every=1", "checkpoint.every=1", "data.loader.workers=3", "data.dataset=x")
    assert differences(_tree(), _tree(*free)) == {}
    changed = differences(_tree(), _tree("optim.lr=0.5", "stages.sound_event.steps=7", "data.window.stride=4"))
    assert changed == {
        "optim.lr": (0.002, 0.5),
        "stages.sound_event.steps": (20, 7),
        "data.window.stride": (8, 4),
    }


def test_every_setting_is_explained() -> None:
    def explained(kind: type, path: str) -> list[str]:
        missing = []
        for name, field in kind.model_fields.items():  # type: ignore[attr-defined]
            if not field.description:
                missing.append(f"{path}{name}")
            if isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields"):
                missing += explained(field.annotation, f"{path}{name}.")
        return missing

    ours = [name for name in explained(TrainSettings, "") if not name.startswith(("data.", "model.mtv."))]
    assert ours == []


@pytest.mark.parametrize(
    "assignment",
    [
        "data.window.frames=10",
        "data.window.height=100",
        "data.window.height=96",
        "data.window.audio_radius=1",
        "data.window.tracks=[speech]",
        "parallel={reduction: tree, replicate: 2}",
    ],
)
def test_a_refusal_of_several_settings_is_short(assignment: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load("mtv_5b", None, [assignment])
    assert len(str(raised.value)) < 400
    assert assignment.split("=")[0].split(".")[-1] in str(raised.value)


@pytest.mark.parametrize(("given", "held"), [("25", "25"), ("23.976", "23.976"), ("24000/1001", "24000/1001")])
def test_a_rate_is_a_number_or_a_ratio(given: str, held: str) -> None:
    assert load("mtv_5b", None, [f"data.window.fps={given}"]).data.window.fps == held


@pytest.mark.parametrize("given", ["1/0", "nan", "0", "-24", "fast", "true"])
def test_what_is_no_rate_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.window\.fps"):
        load("mtv_5b", None, [f"data.window.fps={given}"])
