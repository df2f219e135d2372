"""Noise tables, noised latents, loss and gradients are those of the authors' training code and of diffusers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mtv_train.convert.keymap import PREFIX, rules
from mtv_train.convert.sat import from_sat
from mtv_train.diffusion.objective import loss_per_sample
from mtv_train.diffusion.schedule import Schedule, frame_timesteps
from mtv_train.model.transformer import MTVTransformer3DModel
from tests.mtv_train.vectors import Vector, model_sizes

SCHEDULE = Schedule()


def _mask(frames: int, *clean: tuple[int, ...]) -> Tensor:
    mask = torch.zeros(len(clean), frames, dtype=torch.bool)
    for row, places in zip(mask, clean, strict=True):
        row[list(places)] = True
    return mask


def test_tables(shared_vectors: Path) -> None:
    vector = Vector(shared_vectors, "mtv_schedule")
    close = vector.facts["tolerance"]["tables"]
    before = Schedule(zero_terminal_snr=False).alphas_cumprod
    torch.testing.assert_close(before, vector.output("alphas_cumprod_before_zero_snr_1000"), atol=close, rtol=0)
    roots = SCHEDULE.alphas_cumprod.sqrt().float()
    torch.testing.assert_close(roots, vector.output("sqrt_alphas_cumprod_1000"), atol=close, rtol=0)
    torch.testing.assert_close(roots, vector.output("denoiser_sigmas_1000"), atol=close, rtol=0)


@pytest.mark.parametrize("steps", [3, 20, 50])
def test_tables_of_few_steps(shared_vectors: Path, steps: int) -> None:
    vector = Vector(shared_vectors, "mtv_schedule")
    close = vector.facts["tolerance"]["tables"]
    table = SCHEDULE.official_sampling(steps)
    assert table.timesteps.tolist() == vector.output(f"sample{steps}/timesteps").tolist()
    for name in ("sqrt_alphas_cumprod", "denoiser_quantised_sqrt_alphas_cumprod"):
        given = table.roots if name.startswith("sqrt") else table.snapped
        torch.testing.assert_close(given.float(), vector.output(f"sample{steps}/{name}"), atol=close, rtol=0)


@pytest.mark.parametrize("shift", [1, 3])
def test_tables_equal_diffusers(shared_vectors: Path, shift: int) -> None:
    vector = Vector(shared_vectors, "cogvideox_schedulers")
    for kind in ("dpm", "ddim"):
        expected = vector.outputs[f"{kind}.shift{shift}.alphas_cumprod"]
        np.testing.assert_allclose(Schedule(snr_shift=shift).alphas_cumprod.numpy(), expected, atol=1e-12, rtol=0)


def test_noise_and_velocity_equal_diffusers(shared_vectors: Path) -> None:
    vector = Vector(shared_vectors, "cogvideox_schedulers")
    x0, noise = (torch.from_numpy(vector.rule.array(name, (1, 2, 4, 6, 6))) for name in ("cogx_x0", "cogx_eps"))
    x0, noise, t = x0.expand(4, -1, -1, -1, -1), noise.expand(4, -1, -1, -1, -1), torch.tensor([0, 250, 700, 999])
    for shift in (1, 3):
        schedule = Schedule(snr_shift=shift)
        names = {"add_noise": schedule.add_noise, "velocity": schedule.velocity}
        for name, function in names.items():
            key = f"shift{shift}.{name}"
            torch.testing.assert_close(function(x0, noise, t), vector.output(key), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("case", ["plain", "mask"])
def test_loss_of_a_given_prediction(shared_vectors: Path, case: str) -> None:
    vector = Vector(shared_vectors, "mtv_schedule")
    x0, noise, v = (vector.input(f"loss.{name}") for name in ("x0", "noise", "v"))
    t = torch.tensor(vector.facts["values"]["loss_idx"])
    clean = _mask(5, (0,), (0, 2, 4), (3, 4)) if case == "mask" else _mask(5, (), (), ())
    times = frame_timesteps(t, clean)
    noised = SCHEDULE.add_noise(x0, noise, times)
    torch.testing.assert_close(noised, vector.output(f"loss/{case}/noised"), atol=2e-6, rtol=1e-5)
    x0_hat = SCHEDULE.x0_from_v(noised, v, times)
    torch.testing.assert_close(x0_hat, vector.output(f"loss/{case}/x0_hat"), atol=2e-6, rtol=1e-5)
    loss = loss_per_sample(v, x0, noise, t, SCHEDULE, clean_frames=clean, official=True)
    rel = vector.facts["tolerance"]["loss_rel"]
    torch.testing.assert_close(loss, vector.output(f"loss/{case}/per_sample"), atol=0, rtol=rel)


@pytest.mark.parametrize("case", ["plain", "mask"])
@pytest.mark.parametrize("speakers", ["single", "multi"])
def test_loss_and_gradients(shared_vectors: Path, speakers: str, case: str) -> None:
    vector = Vector(shared_vectors, f"mtv_train_{speakers}_tiny")
    model, _ = from_sat(vector.weights(), official=True, **model_sizes(vector.facts))
    model.requires_grad_(True).patch_embed.pos_embedding.requires_grad_(True)
    x0, noise, t = (vector.input(f"train.{name}") for name in ("x0", "noise", "idx"))
    clean = _mask(13, (0, 1, 12)) if case == "mask" else _mask(13, ())
    noised = SCHEDULE.add_noise(x0, noise, frame_timesteps(t, clean))
    vector.meets(noised, f"{case}/noised", "outputs")
    v = model(noised, vector.input("dit.context"), t, vector.audio(), clean)
    vector.meets(v.detach(), f"{case}/v", "outputs")
    loss = loss_per_sample(v, x0, noise, t, SCHEDULE, clean_frames=clean, official=True)
    limits = vector.facts["tolerance"]
    torch.testing.assert_close(loss.detach(), vector.output(f"{case}/loss"), atol=0, rtol=limits["loss_rel"])

    loss.mean().backward()
    gradients = _in_their_layout(model)
    norms = torch.tensor([float(gradients[k].norm()) if k in gradients else -1 for k in vector.facts["grad_norm_keys"]])
    expected = vector.output(f"{case}/grad_norm")
    assert (expected < 0).sum() == 1  # only SAT's unused table has none
    torch.testing.assert_close(norms, expected, atol=1e-7, rtol=limits["grad_norm_rel"])
    for key in (key for key in vector.outputs if key.startswith(f"{case}/grad:")):
        given, grad = gradients[key.split(":", 1)[1]], limits["grad"]
        torch.testing.assert_close(given, vector.output(key), atol=grad["atol"], rtol=grad["rtol"])


def _in_their_layout(model: MTVTransformer3DModel) -> dict[str, Tensor]:
    """Gradients under the names and in the layout of the release."""
    ours = {name: parameter.grad for name, parameter in model.named_parameters()}
    ours["patch_embed.pos_embedding"] = model.patch_embed.pos_embedding.grad
    theirs = {}
    for rule in rules(model.backbone["num_layers"], model.settings.interval_blocks, model.settings.speech_tracks):
        pieces: dict[int, Tensor] = {}
        for name, picks in rule.ours.items():
            gradient = ours[name]
            assert gradient is not None, f"{name} has no gradient"
            pieces |= dict(zip(picks, gradient.chunk(len(picks)), strict=True))
        if pieces:
            theirs[PREFIX + rule.theirs] = torch.cat([pieces[index] for index in range(rule.pieces)])
    return theirs
