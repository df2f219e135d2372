"""Qwen3-VL in this process: frames with their times, the released layout, answers of the right form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from demix import weights
from demix.models.captioning import Scene
from demix.models.captioning.conversation import Said
from demix.models.captioning.qwen3_vl import Qwen3Vl
from demix.models.captioning.settings import Qwen3VlSettings
from demix.weights import WeightsBroken
from tests.models.captioning.released import put_qwen3_vl

FRAMES = 5


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Qwen3Vl:
    folder = tmp_path_factory.mktemp("qwen")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMIX_WEIGHTS", str(folder / "cache"))
        put_qwen3_vl(folder / "release")
        return Qwen3Vl(Qwen3VlSettings(dtype="float32", person_tokens=6, scene_tokens=8), "cpu")


def a_scene(clip_id: str = "clip", persons: int = 1, seed: int = 0) -> Scene:
    frames = np.random.default_rng(seed).integers(0, 256, (FRAMES, 64, 96, 3), dtype=np.uint8)
    times = tuple(0.25 + 0.5 * number for number in range(FRAMES))
    return Scene(clip_id, frames, times, 2.5, ((),) * FRAMES, persons, persons, frozenset({"speech"}))


def test_the_prompt_holds_every_pair_of_frames_with_its_time(captioner: Qwen3Vl) -> None:
    prompt = captioner.prompt(a_scene(), [Said("user", "What?")])
    text = captioner.processor.tokenizer.decode(prompt["input_ids"][0])
    assert text.startswith("<|im_start|>user\n<0.5 seconds><|vision_start|><|video_pad|>")
    assert [time in text for time in ("<0.5 seconds>", "<1.5 seconds>", "<2.2 seconds>")] == [True] * 3
    assert text.endswith("What?<|im_end|>\n<|im_start|>assistant\n")
    frames, height, width = prompt["video_grid_thw"][0].tolist()
    assert frames == (FRAMES + 1) // 2
    assert text.count("<|video_pad|>") == frames * height * width // 4


def test_descriptions_reach_their_clips_in_any_batch(captioner: Qwen3Vl) -> None:
    scenes = [a_scene("a", 1), a_scene("b", 2, seed=1), a_scene("c", 0, seed=2)]
    together = captioner.describe(scenes)
    assert [each.clip_id for each in together] == ["a", "b", "c"]
    assert [len(each.persons) for each in together] == [1, 2, 0]
    assert [captioner.describe([scene])[0] for scene in scenes] == together


def test_the_frames_matter(captioner: Qwen3Vl) -> None:
    turns = [Said("user", "What?")]
    first, second = (captioner.prompt(a_scene(seed=seed), turns) for seed in (0, 1))
    with torch.inference_mode():
        logits = [captioner.network(**prompt).logits for prompt in (first, second)]
    assert not torch.allclose(logits[0][0, -1], logits[1][0, -1], atol=1e-3)


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "cache"))
    put_qwen3_vl(tmp_path / "release", "qwen3_vl_4b")
    path = weights.folder("qwen3_vl_4b") / "config.json"
    path.write_text(path.read_text().replace('"depth": 3', '"depth": 4'))
    with pytest.raises(WeightsBroken, match="missing keys"):
        Qwen3Vl(Qwen3VlSettings(weights="qwen3_vl_4b"), "cpu")


@pytest.mark.parametrize(
    ("text", "seen", "tied", "gigabytes"),
    [
        (
            {"hidden_size": 4096, "intermediate_size": 12288, "num_attention_heads": 32},
            {"out_hidden_size": 4096, "deepstack_visual_indexes": [8, 16, 24]},
            False,
            17.54,
        ),
        (
            {"hidden_size": 2560, "intermediate_size": 9728, "num_attention_heads": 32},
            {"out_hidden_size": 2560, "deepstack_visual_indexes": [5, 11, 17], "depth": 24, "hidden_size": 1024,
             "intermediate_size": 4096},
            True,
            8.88,
        ),
    ],
    ids=["8b", "4b"],
)  # fmt: skip
def test_the_sizes_are_those_of_the_release(
    text: dict[str, int], seen: dict[str, object], tied: bool, gigabytes: float
) -> None:
    """The 8B release is four files of 5.00, 4.92, 4.92 and 2.70 GB in bfloat16."""
    common = {"num_hidden_layers": 36, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936}
    config = Qwen3VLConfig(
        text_config={**common, **text}, vision_config={"num_heads": 16, **seen}, tie_word_embeddings=tied
    )
    with torch.device("meta"):
        network = Qwen3VLForConditionalGeneration(config)
    assert 2 * sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(gigabytes * 1e9, rel=2e-3)
    names = set(network.state_dict())
    assert {"lm_head.weight", "model.language_model.embed_tokens.weight"} <= names
    assert {"model.visual.patch_embed.proj.weight", "model.visual.deepstack_merger_list.2.linear_fc2.bias"} <= names
