"""What `demix plan --hours` says: the sums of recorded figures, with everything that is assumed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from demix.cli import main
from demix.costs import COUNTED, DEMIXING, FIGURES, RAW_HOURS, SERVICE, SIZES, VOICES, Cluster, costs_of
from demix.models import MODELS
from demix.recipe import load_settings

ROOT = Path(__file__).parents[1]


def test_hours_add_up_by_hand() -> None:
    """One network on one GPU: 13,891 hours of clips at so many GFLOP a second over so many TFLOP a second."""
    costs = {cost.role: cost for cost in costs_of(load_settings("paper"), Cluster(gpu_teraflops=10.0, clip_share=0.5))}
    spleeter = FIGURES["demix_two", "spleeter"].gigaflops
    assert costs["demix_two"].gpu_hours == pytest.approx(0.5 * 13_891 * spleeter / 10_000)
    assert costs["demix_two"].cpu_hours == 0
    assert costs["captioning"].gpu_hours == pytest.approx(0.5 * 13_891 * 20_500 / 200_000), "in 16 bits"
    assert costs["shots"].hours == 13_891 == RAW_HOURS
    assert costs["faces"].hours == 13_891 / 2
    assert costs["diarization"].source == SERVICE


def test_without_a_gpu_the_processors_pay() -> None:
    costs = costs_of(load_settings("open"), Cluster(gpus=0, cpu_gigaflops=25.0, hours=2.0))
    three = next(cost for cost in costs if cost.role == "demix_three")
    assert three.gpu_hours == 0
    assert three.cpu_hours == pytest.approx(2 * FIGURES["demix_three", "bandit_plus"].gigaflops / 25)


def test_a_model_without_a_figure_is_named_and_not_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--hours", "100", "--gpus", "4", "--profile", "open"]) == 0
    said = capsys.readouterr().out
    assert "none recorded" in said
    assert "without faces yunet, diarization pyannote" in said
    assert "assumed, not measured" in said
    assert "on 4 GPUs and 64 cores" in said


def test_the_figures_are_those_that_the_benchmarks_recorded() -> None:
    """Every figure is of a model that exists, and stands in the file that it names."""
    recorded = {source: (ROOT / source).read_text() for source in (COUNTED, DEMIXING, VOICES)}
    for (role, model), figure in FIGURES.items():
        assert not model or model in MODELS[role], (role, model)
        if figure.source in (SIZES, SERVICE) or not (figure.gigaflops or figure.cpu_seconds):
            continue
        text, value = recorded[figure.source], figure.gigaflops or figure.cpu_seconds
        numbers = [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\.\d+", text)]
        assert value in numbers, (role, model, value)


def test_without_output_and_hours_it_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan"]) == 2
    assert "--hours" in capsys.readouterr().err
