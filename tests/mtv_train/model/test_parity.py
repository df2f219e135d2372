"""The model's numbers are those of the authors' released code on generated weights, taken over by `from_sat`.

Guards every tensor's place, every order of fused chunks, the arithmetic of projector, interaction blocks, injection,
clean frames and output, for one and two speech tracks, at tiny and at released audio widths; and the quirks that
`official` repeats.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtv_train.convert.keymap import _interaction, _projector
from mtv_train.convert.sat import from_sat
from mtv_train.model.interaction import InteractionBlock
from mtv_train.model.projector import AudioProjector
from mtv_train.model.transformer import MTVTransformer3DModel
from tests.mtv_train.vectors import Vector, model_sizes, part_settings, renamed

DIT = [f"mtv_dit_{speakers}_{size}" for speakers in ("single", "multi") for size in ("tiny", "wide")]


def _model(vector: Vector) -> MTVTransformer3DModel:
    return from_sat(vector.weights(), official=True, **model_sizes(vector.facts))[0]


def _clean(frames: int, *clean: int, batch: int = 1) -> Tensor:
    mask = torch.zeros(batch, frames, dtype=torch.bool)
    mask[:, list(clean)] = True
    return mask


def _calls(modules: dict[str, nn.Module]) -> dict[str, list[Any]]:
    """The outputs of each module, call by call, filled when the model runs."""
    calls: dict[str, list[Any]] = {name: [] for name in modules}
    for name, module in modules.items():
        module.register_forward_hook(lambda _module, _inputs, output, name=name: calls[name].append(output))
    return calls


@pytest.mark.parametrize("name", DIT)
def test_whole_model(shared_vectors: Path, name: str) -> None:
    vector = Vector(shared_vectors, name)
    model = _model(vector)
    x, text, t, audio = vector.input("dit.x"), vector.input("dit.context"), vector.input("dit.timestep"), vector.audio()
    assert int(t) == vector.facts["values"]["timestep"]
    with torch.no_grad():
        vector.meets(model(x, text, t, audio), "plain/output")
        vector.meets(model(x, text, t, audio, _clean(13, 0, 1, 7)), "mask/output")
        both = type(audio).cat([audio.unconditional(), audio])
        guided = model(
            torch.cat([x, x]), torch.cat([text * 0, text]), torch.cat([t, t]), both, _clean(13, 0, 1, 7, batch=2)
        )
        vector.meets(guided, "cfg/output")


@pytest.mark.parametrize("name", ["mtv_dit_single_tiny", "mtv_dit_multi_tiny"])
def test_inside_of_the_model(shared_vectors: Path, name: str) -> None:
    """Not only the end: each intermediate that the vector holds."""
    vector = Vector(shared_vectors, name)
    model = _model(vector)
    first: Any = model.transformer_blocks[0]
    projectors, crosses = model.audio.projectors, first.injection.attention
    calls = _calls(
        {"time_emb": model.time_embedding, "hidden_in": model.patch_embed, "before_unpatchify": model.proj_out}
        | {"layer0_selfattn": first.attn1, "layer0_ffn": first.ff, "layer0_music_scale_shift": first.injection.style}
        | {f"proj_{track.removesuffix('s')}": module for track, module in projectors.items()}
        | {f"layer0_crossattn_{track.removesuffix('s')}": module for track, module in crosses.items()}
        | {f"dual{index}": block for index, block in enumerate(model.audio.interaction)}
        | {f"hidden_{index}": block for index, block in enumerate(model.transformer_blocks)}
    )
    with torch.no_grad():
        model(vector.input("dit.x"), vector.input("dit.context"), vector.input("dit.timestep"), vector.audio())
    given: dict[str, Tensor] = {}
    for module, outputs in calls.items():
        for index, output in enumerate(outputs):
            given[module if len(outputs) == 1 else f"{module}_call{index}"] = _in_their_layout(module, output)
            if module.startswith("dual"):
                tracks = (track.removesuffix("s") for track in model.settings.interval_tracks)
                given |= {f"{module}_{track}": tokens[0] for track, tokens in zip(tracks, output, strict=True)}
    inner = {key for key in vector.outputs if key.startswith("plain/") and key != "plain/output"}
    assert len(inner) >= 18
    for key in inner:
        vector.meets(given[key.removeprefix("plain/")], key)


def _in_their_layout(module: str, output: Any) -> Any:
    """Video and text as one sequence, text first; cross-attentions by frame; everything else as it is."""
    if module in ("layer0_selfattn", "hidden_0", "hidden_1", "hidden_2"):
        video, text = output
        return torch.cat([text, video.flatten(1, -2)], 1)
    if module.startswith("layer0_crossattn"):
        return output[0]
    return output.flatten(1, 2) if module == "before_unpatchify" else output


def test_backbone(shared_vectors: Path) -> None:
    vector = Vector(shared_vectors, "mtv_backbone_tiny")
    whole = Vector(shared_vectors, "mtv_dit_single_tiny")
    state = whole.weights()
    state |= {key: torch.zeros_like(state[key]) for key in vector.facts["keys_zeroed"]}
    model, _ = from_sat(state, official=True, **model_sizes(whole.facts))
    x, text, t = (vector.input(f"dit.{name}") for name in ("x", "context", "timestep"))
    with torch.no_grad():
        vector.meets(model(x, text, t, whole.audio()), "output")
        vector.meets(model(x, text, t, whole.audio(), _clean(13, 0)), "mask_output")


def test_projector(shared_vectors: Path) -> None:
    vector = Vector(shared_vectors, "mtv_audio_projector")
    sizes = {"feature_layers": 3, "feature_dim": 4, "projector_dim": 8, "audio_dim": 6, "audio_tokens": 2}
    projector = AudioProjector(part_settings(**sizes, interval_heads=1, official=True))
    name = "audio.projectors.speech."
    state = renamed(vector.weights(), _projector("speech"))
    projector.load_state_dict({key.removeprefix(name): value for key, value in state.items()}, strict=True)
    calls = _calls({"conv": projector.conv})["conv"]
    with torch.no_grad():
        for frames in (49, 17, 5, 1, 48, 50):
            calls.clear()
            vector.meets(projector(vector.input(f"proj.audio_{frames}")), f"f{frames}/output")
            if frames in (48, 49):
                for index, output in enumerate(calls):
                    vector.meets(output, f"f{frames}/conv_out_{index}")


@pytest.mark.parametrize("speakers", [1, 2])
def test_interaction_blocks(shared_vectors: Path, speakers: int) -> None:
    vector = Vector(shared_vectors, f"mtv_interaction_{('single', 'multi')[speakers - 1]}")
    settings = part_settings(speech_tracks=speakers, official=True)
    names = ("dual.speech", "dual.speech2", "dual.effect")[:: 2 if speakers == 1 else 1]
    tracks = tuple(vector.input(name)[None] for name in names)
    temb = vector.input("dual.time_emb")
    with torch.no_grad():
        for index in range(2):
            theirs, ours = f"transformer.audio_combine.dual_blocks.{index}", "block"
            block = InteractionBlock(settings, 512)
            state = renamed(vector.weights(), _interaction(theirs, ours))
            block.load_state_dict({key.removeprefix("block."): value for key, value in state.items()}, strict=True)
            attention = _calls({"attention": block.attention})["attention"]
            tracks = block(tracks, temb)
            if index == 0:
                vector.meets(attention[0][0], "block0_attention")
                for name, track in zip(names, tracks, strict=True):
                    vector.meets(track[0], name.replace("dual.", "block0_"))
        vector.meets(torch.cat(tracks, 2)[0], "output")
