"""LLaVA-Video in this process: frames, pixels, tokens and prompt as in the reference; the released layout, strictly."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import SiglipVisionConfig, SiglipVisionModel

from demix import weights
from demix.models.captioning import Scene
from demix.models.captioning import llava_inputs as inputs
from demix.models.captioning.conversation import Said
from demix.models.captioning.llava_network import SO400M, TOWER, LlavaVideoConfig, LlavaVideoNetwork
from demix.models.captioning.llava_video import LlavaVideo
from demix.models.captioning.question import time_instruction
from demix.models.captioning.settings import LlavaVideoSettings
from demix.weights import WeightsBroken
from tests.models.captioning.released import LLAVA, put_llava_video
from tests.models.vectors import Vector

SHORT = {"dtype": "float32", "person_tokens": 6, "scene_tokens": 8}


@pytest.fixture(scope="module")
def vector(shared_vectors: Path) -> Vector:
    return Vector(shared_vectors, "llava_video")


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> LlavaVideo:
    folder = tmp_path_factory.mktemp("llava")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMIX_WEIGHTS", str(folder / "cache"))
        put_llava_video(folder / "release")
        return LlavaVideo(LlavaVideoSettings(**SHORT), "cpu")


def a_scene(clip_id: str = "clip", persons: int = 1, seed: int = 0) -> Scene:
    frames = np.random.default_rng(seed).integers(0, 256, (5, 48, 64, 3), dtype=np.uint8)
    times = (0.0, 0.5, 1.0, 1.5, 2.0)
    return Scene(clip_id, frames, times, 2.5, ((),) * 5, persons, persons, frozenset({"speech"}))


def test_the_frames_are_those_of_the_reference(vector: Vector) -> None:
    for row in vector.facts["table"]:
        rate = 2.0 if row["key"].endswith("_at2fps") else 1.0
        found = inputs.frame_indices(row["frames"], row["fps"], per_second=rate, forced=row["force_sample"])
        assert found == vector.outputs[f"indices.{row['key']}"].tolist(), row["key"]


def test_the_captioner_is_shown_the_forced_frames_in_order() -> None:
    chosen = LlavaVideo.frame_indices(50, Fraction(24), LlavaVideoSettings())
    assert chosen == inputs.frame_indices(50, 24.0)
    assert len(chosen) == 64
    assert chosen == sorted(chosen)


@pytest.mark.parametrize("pooling", ["average", "max", "bilinear"])
@pytest.mark.parametrize(("side", "frames", "width"), [(5, 2, 6), (27, 3, 4)])
def test_tokens_are_pooled_and_laid_out_as_in_the_reference(
    side: int, frames: int, width: int, pooling: inputs.Pooling, vector: Vector
) -> None:
    features = torch.from_numpy(vector.array(f"llava_features_{side}", (frames, side * side, width)))
    newline = torch.from_numpy(vector.rule.value("model.image_newline", (width,), vector.facts["seed"]))
    grid = inputs.pooled(features, pooling)
    torch.testing.assert_close(
        grid.flatten(1, 2), torch.from_numpy(vector.outputs[f"side{side}.{pooling}.pooled"]), atol=1e-6, rtol=0
    )
    rows = inputs.token_rows(grid, newline)
    torch.testing.assert_close(rows, torch.from_numpy(vector.outputs[f"side{side}.{pooling}.grid"]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("case", "shape"), [("land", (2, 90, 160)), ("port", (2, 480, 270)), ("square", (1, 384, 384))]
)
def test_pixels_are_siglips(case: str, shape: tuple[int, int, int], shared_vectors: Path) -> None:
    vector = Vector(shared_vectors, "llava_siglip_pre")
    frames = vector.array(f"siglip_frames_{case}", (*shape, 3), 0, 256).astype(np.uint8)
    found = inputs.pixels(frames).numpy()
    np.testing.assert_allclose(found[:, :, 5::61, 3::61], vector.outputs[f"{case}.pixels"], atol=1 / 127)
    np.testing.assert_allclose([found.mean(), found.std()], vector.outputs[f"{case}.mean_std"], atol=1e-3)


def test_the_conversation_is_qwen_1_5(vector: Vector) -> None:
    row = vector.facts["table"][0]
    times = [float(text.removesuffix("s")) for text in row["frame_time"].split(",")]
    asked = f"{time_instruction(row['video_time'], times)}\nPlease describe this video in detail."
    assert inputs.prompt([Said("user", asked)]) == vector.facts["prompt_qwen_1_5"]


def test_a_conversation_goes_on_in_the_same_form() -> None:
    turns = [Said("user", "What?"), Said("assistant", "No."), Said("user", "Again.")]
    assert inputs.prompt(turns).endswith(
        "<|im_start|>assistant\nNo.<|im_end|>\n<|im_start|>user\nAgain.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert inputs.prompt(turns).count(inputs.VIDEO) == 1


def test_the_features_are_those_before_the_last_layer_of_siglip(captioner: LlavaVideo) -> None:
    """The reference cuts off SigLIP's last layer and takes the last hidden state before the norm."""
    tower = captioner.network.model.vision_tower.vision_tower.vision_model
    whole = SiglipVisionModel(SiglipVisionConfig(**LLAVA["vision_config"], vision_use_head=False)).eval()
    assert whole.load_state_dict(tower.state_dict(), strict=False).unexpected_keys == []
    pictures = torch.randn(2, 3, 42, 42, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = captioner.network.model.vision_tower(pictures)
        states = whole(pictures, output_hidden_states=True).hidden_states
    torch.testing.assert_close(found, states[-2])


def test_the_names_and_sizes_are_those_of_the_release(tmp_path: Path) -> None:
    """Four files of 4.88, 4.93, 4.99 and 1.26 GB in bfloat16 were published."""
    sizes = {
        "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "vocab_size": 152064,
    }  # fmt: skip
    settings = {**{key: value for key, value in LLAVA.items() if key != "vision_config"}, **sizes}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with torch.device("meta"):
        state = LlavaVideoNetwork(LlavaVideoConfig.read(tmp_path)).state_dict()
    assert settings["mm_vision_tower"] == TOWER
    assert 2 * sum(tensor.numel() for tensor in state.values()) == pytest.approx(16.06e9, rel=1e-3)
    tower = "model.vision_tower.vision_tower.vision_model"
    assert state[f"{tower}.embeddings.position_embedding.weight"].shape == (27 * 27, SO400M["hidden_size"])
    assert f"{tower}.encoder.layers.25.layer_norm1.weight" in state
    assert f"{tower}.encoder.layers.26.layer_norm1.weight" not in state
    assert state["model.mm_projector.0.weight"].shape == (3584, 1152)
    assert state["model.mm_projector.2.weight"].shape == (3584, 3584)
    assert {"model.image_newline", f"{tower}.post_layernorm.weight", "lm_head.weight"} <= set(state)
    assert len(state) == 1 + 28 * 12 + 2 + 1 + 4 + 3 + 26 * 16 + 2


def test_every_released_number_is_loaded(captioner: LlavaVideo, tmp_path: Path) -> None:
    put_in = tmp_path / "release"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMIX_WEIGHTS", str(tmp_path / "cache"))
        put_llava_video(put_in)
    released = {name: tensor for shard in put_in.glob("*.safetensors") for name, tensor in load_file(shard).items()}
    loaded = captioner.network.state_dict()
    assert loaded.keys() == released.keys()
    assert all(torch.equal(loaded[name], tensor.float()) for name, tensor in released.items())


def _shard(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "model-00001-of-00004.safetensors"
        state = dict(load_file(path))
        change(state)
        save_file(state, path, metadata={"format": "pt"})

    return damage


def _config(**changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_shard(lambda state: state.__delitem__(min(state))), "missing keys"),
        (_shard(lambda state: state.update(extra=torch.zeros(1))), "unexpected keys"),
        (_config(hidden_size=64), "mismatched"),
        (_config(mm_newline_position="one_token"), "mm_newline_position"),
        (_config(vision_config=None, mm_vision_tower="openai/clip"), "mm_vision_tower"),
        (_config(mm_spatial_pool_mode="median"), "median"),
    ],
)
def test_other_weights_are_refused(
    damage: Callable[[Path], None], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "cache"))
    put_llava_video(tmp_path / "release")
    damage(weights.folder("llava_video_7b"))
    with pytest.raises(WeightsBroken, match=message):
        LlavaVideo(LlavaVideoSettings(), "cpu")


def test_a_description_depends_on_frames_and_question_and_nothing_else(captioner: LlavaVideo) -> None:
    scenes = [a_scene("a", 1), a_scene("b", 2, seed=1), a_scene("c", 0, seed=2)]
    together = captioner.describe(scenes)
    assert [each.clip_id for each in together] == ["a", "b", "c"]
    assert [len(each.persons) for each in together] == [1, 2, 0]
    assert [captioner.describe([scene])[0] for scene in scenes] == together


def test_frames_seen_together_are_seen_as_alone(captioner: LlavaVideo) -> None:
    with torch.inference_mode():
        together = captioner._see(list(a_scene().frames))
        alone = [captioner._see([frame])[0] for frame in a_scene().frames]
    torch.testing.assert_close(torch.stack(list(together)), torch.stack(alone), atol=1e-5, rtol=0)


def test_a_model_that_writes_freely_is_asked_again(captioner: LlavaVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["Nonsense", '{"persons": ["a man"], "scene": "A room."}'])
    prompts: list[int] = []

    def write(prompt: dict[str, torch.Tensor], persons: int) -> str:
        prompts.append(prompt["inputs_embeds"].shape[1])
        return next(answers)

    monkeypatch.setattr(captioner.writer, "write", write)
    assert captioner.describe([a_scene()])[0].persons == ("a man",)
    assert prompts[1] > prompts[0]
