"""docs/dataset_format.md tells the truth: its tables are the schemas, and its code reads a dataset."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from demix.dataset import schema
from demix.store import Store
from tests.dataset.making import Maker, build

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "dataset_format.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, video_folder: Path) -> Path:
    """A folder that holds a dataset called DATASET."""
    root = tmp_path_factory.mktemp("docs")
    maker = Maker(Store(root / "work"), video_folder)
    build(maker.samples(3, 4), maker, root / "DATASET")
    return root


def run(code: str, folder: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1"}
    child = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    return child.stdout


def block(word: str) -> str:
    """The page's one block of code that holds `word`."""
    (code,) = (code for code in BLOCKS if word in code)
    return code


def clips(folder: Path) -> set[str]:
    """The clips of train/visual_mood, by the standard library only."""
    found = set()
    for path in (folder / "DATASET/shards/train").glob("*visual_mood*/*.tar"):
        with tarfile.open(path) as archive:
            found |= {name.partition(".")[0] for name in archive.getnames()}
    assert found
    return found


def test_the_tables_are_the_schemas() -> None:
    """Printed by `python -m demix.dataset.schema`; a column that is added must be documented."""
    assert PAGE.read_text(encoding="utf-8").endswith(schema.markdown() + "\n")


@pytest.mark.parametrize(
    "word",
    [
        "dataset.samples",
        "import webdataset",
        "load_dataset",
        pytest.param("import ray", marks=pytest.mark.slow),
    ],
)
def test_a_library_reads_every_sample(folder: Path, word: str) -> None:
    """Keys without the fields' dots, captions, and stems under the name `speech.flac`."""
    output = run(block(word), folder)
    lines = [line for line in output.splitlines() if "One person conversation" in line]
    assert {line.split()[0] for line in lines} == clips(folder)
    assert all(int(line.split()[-1]) > 10_000 for line in lines)


def test_a_member_is_read_by_its_offset(folder: Path) -> None:
    clip, size = run(block("speech["), folder).split()
    assert clip in clips(folder)
    assert int(size) > 10_000


def test_all_code_on_the_page_is_run() -> None:
    words = ("dataset.samples", "import webdataset", "load_dataset", "import ray", "speech[")
    assert sorted(map(block, words)) == sorted(BLOCKS)
