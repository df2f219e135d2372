"""What people are told to install is this project, and not the unrelated one whose name on the index is `demix`."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest

from demix import DISTRIBUTION, __version__
from demix.cli import main
from demix.models.missing import MissingPackage
from tests.docs.pages import ROOT

WRONG = re.compile(
    r"""(?<![\w-])demix\\?\[\w                                  # an extra of `demix`
    |pip\ install\ (?:-\S+\ )*['"]?demix(?![\w-])              # the other project
    |version\(['"]demix['"]\)|distribution\(['"]demix['"]\)    # its metadata""",
    re.VERBOSE,
)


def test_nothing_names_the_other_project() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and name != "tests/docs/test_names.py":
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [f"{name}: {hit[0]}" for hit in WRONG.finditer(text)]
    assert not found


@pytest.mark.parametrize("text", ["pip install 'demix[web]'", "pip install demix", "version('demix')"])
def test_wrong_advice_is_recognised(text: str) -> None:
    assert WRONG.search(text)


@pytest.mark.parametrize("text", ["pip install 'demix-dataset[web]'", "pip install demix-dataset", "import demix"])
def test_right_advice_is_not(text: str) -> None:
    assert not WRONG.search(text)


def test_the_name_is_said_alike_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == DISTRIBUTION
    assert f"pip install '{DISTRIBUTION}[open]'" in str(MissingPackage("transnetv2", "a package", "open"))
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"{DISTRIBUTION} {__version__}\n"
