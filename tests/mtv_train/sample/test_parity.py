"""The sampler meets the release's own (guided steps of its DPM solver, with and without given frames) and diffusers'
schedulers, step by step, within the vectors' tolerances."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler
from torch import Tensor

from mtv_train.convert.sat import from_sat
from mtv_train.model.conditions import Conditions
from mtv_train.sample import release_scheduler
from mtv_train.sample.denoise import Clean, denoise
from mtv_train.sample.guidance import Guidance, guided
from mtv_train.sample.release_scheduler import ReleaseDPMScheduler
from tests.mtv_train.vectors import Vector, model_sizes

CONFIG = {"timestep_spacing": "trailing", "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}


def _given(monkeypatch: pytest.MonkeyPatch, module: Any, noises: Iterator[Tensor]) -> None:
    monkeypatch.setattr(module, "randn_tensor", lambda shape, **_: next(noises))


@pytest.mark.parametrize("case", ["free", "prefix2"])
@pytest.mark.parametrize("speakers", ["single", "multi"])
def test_the_release(shared_vectors: Path, monkeypatch: pytest.MonkeyPatch, speakers: str, case: str) -> None:
    vector = Vector(shared_vectors, f"mtv_sample_{speakers}_tiny")
    model, _ = from_sat(vector.weights(), official=True, **model_sizes(vector.facts))
    steps, scale = vector.facts["values"]["num_steps"], vector.facts["values"]["guidance"]
    scheduler = ReleaseDPMScheduler(snr_shift_scale=1.0, **CONFIG)
    scheduler.set_timesteps(steps)
    _given(monkeypatch, release_scheduler, (vector.input(f"sample.noise_step{i}") for i in range(steps)))
    noise, conditions = vector.input("sample.init"), Conditions(vector.input("dit.context"), vector.audio())
    clean = None
    if case == "prefix2":
        given = torch.zeros_like(noise)
        given[:, :2] = vector.input("sample.first_latent")
        clean = Clean(torch.arange(13)[None] < 2, given)
    inputs, frames = [], None if clean is None else clean.frames

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        inputs.append(latents)
        return guided(model, latents, timestep, conditions, Guidance(scale), frames)

    with torch.no_grad():
        latents = denoise(predict, scheduler, noise, clean=clean)
    vector.meets(torch.cat(inputs), f"{case}/x_each_step")
    assert scheduler.timesteps.tolist() == vector.output(f"{case}/timesteps").tolist()
    vector.meets(latents, f"{case}/output")


@pytest.mark.parametrize("shift", [1, 3])
@pytest.mark.parametrize("steps", [5, 50])
@pytest.mark.parametrize("kind", ["dpm", "ddim"])
def test_steps_equal_diffusers(
    shared_vectors: Path, monkeypatch: pytest.MonkeyPatch, kind: str, steps: int, shift: int
) -> None:
    vector = Vector(shared_vectors, "cogvideox_schedulers")
    array = lambda name: torch.from_numpy(vector.rule.array(name, (1, 2, 4, 6, 6)))  # noqa: E731
    made = CogVideoXDPMScheduler if kind == "dpm" else CogVideoXDDIMScheduler
    scheduler = made(clip_sample=False, snr_shift_scale=float(shift), **CONFIG)
    scheduler.set_timesteps(steps)
    assert scheduler.timesteps.tolist() == vector.outputs[f"{kind}.timesteps{steps}"].tolist()
    shown = 3 if steps == 50 else 5
    scheduler.timesteps = scheduler.timesteps[:shown]
    if kind == "dpm":
        # The scheduler draws twice in a second-order step; the vector has the same noise for both.
        from diffusers.schedulers import scheduling_dpm_cogvideox as module

        last = shown - 1 if shown == steps else shown
        draws = [i for i in range(shown) for _ in range(2 if 0 < i < last else 1)]
        _given(monkeypatch, module, (array(f"cogx_noise_{i}") for i in draws))
    calls, seen = iter(range(shown)), []

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        return array(f"cogx_v_{next(calls)}") + 0.1 * latents

    def on_step(index: int, time: Tensor, latents: Tensor) -> Tensor:
        seen.append(latents)
        return latents

    denoise(predict, scheduler, array("cogx_latent"), on_step=on_step)
    name = f"{kind}.shift{shift}.steps{steps}{'.eta0' if kind == 'ddim' else ''}.samples"
    np.testing.assert_allclose(torch.stack(seen).numpy(), vector.outputs[name], atol=1e-4, rtol=0)
