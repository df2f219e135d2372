"""What a command imports: one that only answers a question loads no library that takes seconds.

Times depend on how busy the machine is; what is imported does not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from demix.models import MODELS

HEAVY = (
    "torch", "torchvision", "torchaudio", "transformers", "ray", "scipy", "sklearn", "numba", "librosa",
    "cv2", "av", "scenedetect", "matplotlib", "silero_vad", "pyloudnorm", "pyrnnoise", "demucs", "safetensors",
)  # fmt: skip
"""Each takes from a tenth of a second to several seconds of processor time. (pandas is not among them: Arrow imports it
where it is installed, which takes a third of a second.)"""
MOST_SECONDS = 2.0
"""Processor time of a command that only answers a question."""
PROFILES = ("lite", "open", "paper")


def loaded_after(statement: str) -> list[str]:
    """What of `HEAVY` a fresh process has loaded after a statement."""
    program = f"import json, sys\n{statement}\nprint(); print(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert not done.returncode, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_models_are_declared_without_their_networks() -> None:
    """Name, revision, resources and weights of every model, as plans and fingerprints ask for them."""
    names = sorted({place.partition(":")[0] for models in MODELS.values() for place in models.values()})
    assert loaded_after(f"import importlib\nfor name in {names!r}: importlib.import_module(name)") == []


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work store that something was indexed in, without any clip."""
    from demix.cli import main

    folder = tmp_path_factory.mktemp("planned")
    (folder / "film.mp4").write_bytes(b"no film")
    main(["index", str(folder / "film.mp4"), "--output", str(folder / "data"), "--runner", "sequential"])
    return folder


def questions(planned: Path, tmp_path: Path) -> dict[str, tuple[Sequence[object], int]]:
    """Commands that only answer, with their exit statuses."""
    data, film = planned / "data", planned / "film.mp4"
    return {
        "a path that is none": (("index", tmp_path / "flim.mp4", "--output", tmp_path / "data"), 2),
        "a path that is none, built": (("build", tmp_path / "flim.mp4", "--output", tmp_path / "data"), 2),
        "an id that is none": (("show", "0123456789abcdef", "--output", data), 2),
        "an id that is none, replayed": (("replay", "--clip", "0" * 16, "--stage", "probe", "--output", data), 2),
        "a setting that is none": (("index", film, "--output", data, "--set", "shots.max_second=3"), 2),
        "a model that is none": (("index", film, "--output", data, "--set", "shots.model=adaptiv"), 2),
        "a profile that is none": (("build", film, "--output", data, "--profile", "light"), 2),
        "nothing built here": (("annotate", "--output", tmp_path / "data"), 2),
        "no dataset": (("report", tmp_path / "data"), 2),
        "show": (("show", _candidate(data), "--output", data), 0),
        "plan": (("plan", film, "--output", data), 0),
        "plan of a dataset": (("plan", "--output", data), 0),
        "plan --hours": (("plan", "--hours"), 0),
        "plan --hours, paper": (("plan", "--hours", "--profile", "paper"), 0),
        "config": (("config", "--profile", "open"), 0),
        "config --reference": (("config", "--reference"), 0),
        "weights list": (("weights", "list"), 0),
        "weights list of a profile": (("weights", "list", "--profile", "paper"), 0),
    }


def _candidate(data: Path) -> str:
    line = (data / ".work" / "candidates.jsonl").read_text().splitlines()[0]
    return str(json.loads(line)["id"])


def test_questions_are_answered_without_heavy_libraries(planned: Path, tmp_path: Path) -> None:
    """One process answers all, so that the first one that loads something is named."""
    asked = questions(planned, tmp_path)
    commands = [(name, [str(argument) for argument in arguments]) for name, (arguments, _) in asked.items()]
    program = f"""
import json, sys
from demix.cli import main
for name, arguments in {commands!r}:
    status = int(main(arguments))
    print()
    print("answered", json.dumps([name, status, [n for n in {HEAVY!r} if n in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=200)
    assert not done.returncode, done.stderr
    lines = [line.removeprefix("answered ") for line in done.stdout.splitlines() if line.startswith("answered ")]
    answers = [json.loads(line) for line in lines]
    assert answers == [[name, status, []] for name, (_, status) in asked.items()]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_build_is_planned_and_fingerprinted_without_networks(profile: str) -> None:
    """All that `plan` and the start of a build ask of stages."""
    asked = f"""
from demix.recipe import all_stages, judges, load_settings
from demix.fingerprint import fingerprint
settings = load_settings({profile!r})
for stage in all_stages(settings):
    fingerprint(stage, {{kind.name: "0" for kind in stage.needs}})
    stage.weights(), stage.resources
for choice in judges(settings).values():
    choice.credit(), choice.kind.licence
"""
    assert loaded_after(asked) == []


def test_an_answer_takes_little_processor_time(planned: Path, tmp_path: Path) -> None:
    """The processor's time, not the wall clock's, so that a busy machine changes little."""
    slow = {}
    for name in ("a path that is none", "an id that is none", "plan", "plan --hours", "weights list"):
        arguments, _ = questions(planned, tmp_path)[name]
        command = [sys.executable, "-m", "demix.cli", *map(str, arguments)]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, _, used = os.wait4(child.pid, 0)
        child.returncode = 0  # it has been waited for
        if (seconds := used.ru_utime + used.ru_stime) > MOST_SECONDS:
            slow[name] = seconds
    assert slow == {}
