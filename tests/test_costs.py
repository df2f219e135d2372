"""What `demix plan --hours` says: the sums of recorded figures, with everything that is assumed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from demix.cli import main
from demix.costs import COUNTED, FIGURES, ON_CPU, ON_GPU, RAW_HOURS, SERVICE, Cluster, costs_of, stage_costs
from demix.models import MODELS
from demix.recipe import clip_stages, load_settings

ROOT = Path(__file__).parents[1]


def test_hours_add_up_by_hand() -> None:
    """Hours of clips over the speed."""
    cluster = Cluster(gpu_speed=0.5, clip_share=0.5)
    costs = {cost.role: cost for cost in costs_of(load_settings("paper"), cluster)}
    assert costs["demix_two"].gpu_hours == pytest.approx(0.5 * 13_891 / (0.5 * 53.6))
    assert costs["demix_two"].cpu_hours == 0
    assert costs["demix_two"].source == ON_GPU
    assert costs["captioning"].gpu_hours == pytest.approx(0.5 * 13_891 / (0.5 * 0.833))
    assert costs["shots"].hours == 13_891 == RAW_HOURS
    assert costs["faces"].hours == 13_891 / 2
    assert costs["diarization"].source == SERVICE


def test_without_a_gpu_the_processors_pay() -> None:
    costs = costs_of(load_settings("open"), Cluster(gpus=0, cpu_gigaflops=25.0, hours=2.0))
    three = next(cost for cost in costs if cost.role == "demix_three")
    assert three.gpu_hours == 0
    assert three.cpu_hours == pytest.approx(2 * FIGURES["demix_three", "bandit_plus"].gigaflops / 25)


def test_no_gpu_is_not_assumed_to_be_fast(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--hours", "100", "--gpus", "0", "--cpus", "4"]) == 0
    said = capsys.readouterr().out
    assert "hours on 4 cores, without GPUs" in said
    assert "a GPU is" not in said
    assert main(["plan", "--hours", "1000", "--gpus", "0", "--cpus", "4"]) == 0
    assert "days on 4 cores" in capsys.readouterr().out


def test_a_model_without_a_figure_is_named_and_not_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--profile", "open", "--set", "demixing.two=spleeter_package"]
    assert main(["plan", "--hours", "100", "--gpus", "4", *chosen]) == 0
    said = capsys.readouterr().out
    assert "none recorded" in said
    assert "without demix_two spleeter_package, of which" in said
    assert "the H200 that the networks were measured on" in said
    assert "on 4 GPUs and 64 cores" in said


def test_every_network_was_measured_on_a_gpu() -> None:
    assert all(figure.gpu_speed for figure in FIGURES.values() if figure.gigaflops)


def test_the_figures_are_those_that_the_benchmark_recorded() -> None:
    """Every figure is of a model that exists, and stands in the row of its network, of its role, or of its stage."""
    text = (ROOT / COUNTED).read_text()
    networks, models, stages = (
        {name: float(value.replace(",", "")) for name, value in re.findall(r"^\| (\w+) \| ([\d.,]+) \|", table, re.M)}
        for table in text.split("|---|---:|")[1:]
    )
    stages["around"] = float(text.split()[-1])
    for (role, model), figure in FIGURES.items():
        assert not model or model in MODELS[role], (role, model)
        if figure.source != COUNTED:
            continue
        if figure.gigaflops:
            chunk_lengths = 6 if model == "talknet" else 1
            assert figure.gigaflops == pytest.approx(chunk_lengths * networks[model]), model
        if figure.cpu_seconds:
            assert figure.cpu_seconds == (models if role in models else stages)[role], (role, model)


def test_what_stages_do_besides_their_models_is_counted() -> None:
    costs = {cost.role: cost for cost in costs_of(load_settings(), Cluster(hours=10, clip_share=0.5))}
    for role in ("clip_media", "around"):
        assert costs[role].cpu_hours == pytest.approx(5 * FIGURES[role, ""].cpu_seconds)


def test_speeds_are_those_that_the_gpu_benchmark_recorded() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", (ROOT / ON_GPU).read_text(), re.MULTILINE))
    rows["rtdetr"] = rows["rtdetr_r50"]  # the default's size
    measured = {model: figure.gpu_speed for (_, model), figure in FIGURES.items() if figure.gpu_speed}
    assert measured == {model: float(rows[model]) for model in measured}


def test_yunets_cost_is_its_recorded_speed() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", (ROOT / ON_CPU).read_text(), re.MULTILINE))
    assert FIGURES["faces", "yunet"].cpu_seconds == pytest.approx(1 / float(rows["yunet"]), rel=0.01)


def test_without_output_and_hours_it_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan"]) == 2
    assert "--hours" in capsys.readouterr().err


def test_the_plan_says_who_works_side_by_side_and_who_is_the_slowest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--hours", "1200", "--gpus", "8", "--cpus", "96", "--profile", "open"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.partition("placement on")[2].splitlines()]
    slowest = [row for row in rows if row[-1:] == ["slowest"]]
    assert [next(name for name in row if name in ("shots", "caption")) for row in slowest] == ["shots", "caption"]
    assert next(row for row in rows if "caption" in row)[:5] == ["4", "caption", "8", "8", "8"]


def test_every_stage_of_every_profile_has_a_cost_or_is_known_to_be_guessed() -> None:
    for profile in ("lite", "open", "paper"):
        costs = stage_costs(load_settings(profile))
        assert {name for name, cost in costs.items() if cost.guessed} == {"paper": {"diarization"}}.get(profile, set())
        assert {stage.name for stage in clip_stages(load_settings(profile)) if not stage.judges} <= set(costs)
