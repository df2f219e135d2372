"""Every command that a page shows is run, and its ending is looked at.

The rule: FILMS, DATASET and CLIP stand for the films, the dataset and a clip of the test's own. A line that begins with
`demix` is run as it stands, unless it is listed below. Blocks marked `cluster` or `store` after the word `bash` need a
cluster or a bucket: their commands must be ones that tests/cluster or tests/object_store runs or checks. Everything
else must be listed below, with the reason.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from demix import models
from demix.cli import main
from tests.docs import corpora
from tests.docs.conftest import Place
from tests.docs.pages import PAGES, ROOT, Block, blocks, name_of

NOT_RUN = {
    "demix calibrate DATASET --label": "serves until it is stopped; tests/calibrate/test_label_server.py",
    "demix build FILMS --output DATASET --set caption.model=server --set caption.server.start=vllm": (
        "needs vLLM; tests/models/captioning/test_launched.py starts a stand-in by the same code"
    ),
    "make demo": "takes minutes; the truth tests of the build run the same films",
    "make train-demo": "takes minutes; tests/mtv_train/train/test_dataset.py trains the same recipe",
    "make ablation-demo": "takes minutes; tests/mtv_train/sample/test_ablation_demo.py runs its script",
    "python -m mtv_train train mtv_5b --data DATASET --run RUN": "tests/mtv_train/train/test_docs.py",
    "python -m mtv_train sample MODEL --prompt TEXT --speech s.wav --music m.wav -o out.mp4": (
        "tests/mtv_train/sample/test_docs.py, with a tiny model"
    ),
    "python -m mtv_train evaluate --generated VIDEOS --reference DATASET --metrics all --out SCORES": (
        "tests/mtv_train/evaluate/test_docs.py"
    ),
    "pip install .": "tests/plain_install.sh, which .ci/run calls",
    "pip install 'demix-dataset[s3]'": "changes the environment; constraints.txt holds the drivers",
    "pip install 'demix-dataset[gcs]'": "changes the environment; constraints.txt holds the drivers",
    "pip install '.[train,web]'": "changes the environment; tests/plain_install.sh installs without extras",
    "make vllm-env": "installs many GB; tests/models/captioning/test_launched.py has an environment of its own",
    "make test": "would run this test within itself",
    "make lint": "a part of `make test`",
    "make test-all": "takes hours, and would run this test within itself",
    "git clone <this repository> && cd demix": "the checkout that this runs in is one",
    ".venv/bin/pytest tests/stages/test_length.py": "would run tests within a test",
    ".venv/bin/pytest tests/stages -k voice_over": "would run tests within a test",
    ".venv/bin/pytest -m slow tests/build": "would run tests within a test",
    "source .venv/bin/activate": "changes a person's shell; there is nothing to see in a child",
    "sed -i '/^<!-- generated/q' docs/configuration.md && demix config --reference >> docs/configuration.md": (
        "writes into the checkout; test_configuration.py holds the page against the same output"
    ),
}
CLUSTER = {
    "ray get-auth-token --generate": "test_ray_submit.py",
    "ray up cluster/on_prem.yaml": "test_ray_submit.py",
    "ray submit cluster/on_prem.yaml pipelines/build_demix.py": "test_ray_submit.py",
    "ray down cluster/on_prem.yaml": "test_ray_submit.py",
    "export RAY_AUTH_MODE=token": "test_job_submit.py",
    "ray job": "test_job_submit.py",
    "ray up cluster/aws.yaml": "test_files.py",
    "ray up cluster/gcp.yaml": "test_files.py",
    "kubectl apply -f cluster/kuberay/job.yaml": "test_files.py",
    "sbatch --nodes=4 cluster/slurm/build_demix.sbatch": "test_slurm.py",
}
"""How a command for a cluster begins, and the file in tests/cluster that covers it."""
STORE = {
    **dict.fromkeys(("demix build", "demix verify", "demix show", "demix report"), "test_build.py"),
    "python -m mtv_train train": "test_training.py",
}
"""How a command for an object store begins, and the file in tests/object_store that covers it."""
MARKED = {"cluster": CLUSTER, "store": STORE}

MY_SETTINGS = "my.yaml"


def command(line: str, place: Place) -> list[str]:
    """The arguments of a line, its comment left out, with the placeholders filled."""
    meaning = {"FILMS": str(place.films), "CLIP": place.clip}  # DATASET is called so
    words = shlex.split(line, comments=True)
    return [re.sub(r"\b(FILMS|CLIP)\b", lambda found: meaning[found[1]], word) for word in words]


def settle(page: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page asks its reader to write before its commands: a settings file, a model."""
    for block in blocks(page, "yaml"):
        (place.folder / MY_SETTINGS).write_text(block.code)
    if page.name == "thresholds.md":
        (place.folder / "labels.csv").write_text(f"clip_id,label\n{place.clip},good\n")
    if page.name == "corpora.md":
        corpora.prepare(place.folder)
    code = [block.code for block in blocks(page, "python")]
    if any(block.mark == "crest" for block in blocks(page, "bash")):
        module, line = code
        (place.folder / "crest.py").write_text(module)
        monkeypatch.syspath_prepend(str(place.folder))
        monkeypatch.setattr(models, "MODELS", {role: dict(known) for role, known in models.MODELS.items()})
        exec(line, {"MODELS": models.MODELS})


def runnable(block: Block) -> list[str]:
    mine = [line for line in block.commands if shlex.split(line, comments=True)[0] == "demix"]
    return [line for line in mine if block.mark not in MARKED and line.partition("  #")[0].rstrip() not in NOT_RUN]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "bash")], ids=name_of)
def test_the_commands_of_a_page_do_what_they_should(
    page: Path, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    settle(page, place, monkeypatch)
    lines = [line for block in blocks(page, "bash") for line in runnable(block)]
    for line in lines:
        status = main(command(line, place)[1:])
        said = capfd.readouterr()
        assert status == 0, f"{line}\n{said.out}\n{said.err}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_other_command_is_accounted_for(page: Path) -> None:
    for block in blocks(page, "bash"):
        rest = [line for line in block.commands if line not in runnable(block)]
        if covered := MARKED.get(block.mark):
            unknown = [line for line in rest if not any(line.startswith(start) for start in covered)]
        else:
            unknown = [line for line in rest if line.partition("  #")[0].rstrip() not in NOT_RUN]
        assert not unknown


def test_what_covers_the_marked_commands_exists() -> None:
    for folder, covered in (("cluster", CLUSTER), ("object_store", STORE)):
        for file in covered.values():
            assert (ROOT / "tests" / folder / file).is_file(), file
