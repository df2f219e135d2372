"""`ray job submit --working-dir . -- python pipelines/build_demix.py ...`, as people type it, against a real head."""

from __future__ import annotations

import os
import re
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package

from tests.cluster.loopback import BIN, ROOT, Loopback, loopback
from tests.docs.pages import blocks
from tests.tiny import make_tiny

PAGE = ROOT / "docs/build_on_a_cluster.md"


def test_what_is_uploaded_is_small_and_whole(tmp_path: Path) -> None:
    """No environment, no history, no demo, no tests: Ray refuses 500 MB, and a slow line wants far less. Weights that
    travel in the package are 7.7 MB of it."""
    upload = tmp_path / "upload.zip"
    create_package(str(ROOT), upload, include_gitignore=True)
    names = zipfile.ZipFile(upload).namelist()
    assert {"pipelines/build_demix.py", "demix/cli.py", "demix/profiles/lite.yaml", "pyproject.toml"} <= set(names)
    assert not {name.partition("/")[0] for name in names} & {".git", ".venv", "demo", "tests", "benchmarks"}
    assert upload.stat().st_size < 12 << 20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_is_sent_stopped_and_sent_again_as_the_page_says() -> None:
    """Every line of the page about jobs, by somebody who has the token in a file and nothing of Ray in the shell."""
    with loopback() as cluster:
        cluster.head(2, dashboard=True)
        films, dataset = make_tiny(cluster.root / "films"), cluster.root / "dataset"
        user = User(
            cluster, {"http://HEAD:8265": cluster.dashboard, "/mnt/films": str(films), "/mnt/demix": str(dataset)}
        )
        submit, follow, status, stop = user.lines()
        user.submit(submit)
        logs = follow.replace("--follow ", "")
        deadline = time.monotonic() + 200
        while "sources:" not in user.run(logs)[0]:
            assert time.monotonic() < deadline
            time.sleep(1)
        user.run(stop)
        assert "was stopped" in user.run(status)[0]
        assert "terminated; give the same command again to go on where it stopped" in user.run(logs)[0]
        assert not list(dataset.glob("shards/train/*/*.commit.json"))

        again = [line.replace("films-1", "films-2") for line in (submit, follow, status)]
        user.submit(again[0])
        said, _ = user.run(again[1])
        assert "succeeded" in user.run(again[2])[0]
        assert list(dataset.glob("shards/train/*/*.commit.json"))
        assert f"report: {dataset}/report/index.html" in said
        job = [line for line in said.splitlines() if not re.match(r"\d{4}-\d\d-\d\d ", line)]
        assert not re.search(r"[\r\x1b]|Traceback|raylet|WARNING", "\n".join(job)), "neither bars nor Ray's own words"
        assert {line.partition(":")[0] for line in job} >= {"sources", "annotate", "pack"}
        # A build that had not joined this cluster would have started one of its own, in a session of its own.
        assert len(list((cluster.root / "ray").glob("session_2*"))) == 1


class User:
    """Runs lines of docs/build_on_a_cluster.md; `meaning`: what stands there -> what it is here."""

    def __init__(self, cluster: Loopback, meaning: dict[str, str]):
        self.meaning = meaning
        token = cluster.environment()["RAY_AUTH_TOKEN"]
        (cluster.root / "home/.ray").mkdir(parents=True)
        (cluster.root / "home/.ray/auth_token").write_text(token)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON"))}
        self.environment = kept | {
            "HOME": str(cluster.root / "home"),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }

    def lines(self) -> list[str]:
        """The page's commands about jobs; what it exports is from then on in the environment."""
        found = [line for block in blocks(PAGE, "bash") if block.mark == "cluster" for line in block.commands]
        for line in found:
            if line.startswith("export "):
                for word in line.split()[1:]:
                    name, _, value = word.partition("=")
                    self.environment[name] = self.meaning.get(value, value)
        return [line for line in found if line.startswith("ray job")]

    def submit(self, line: str) -> None:
        """Sends a job whose report is small. A head's agent comes up some time after the head."""
        for _ in range(20):
            _, err = self.run(f"{line} --set report.samples_per_group=0", ending=(0, 1))
            if "No available agent" not in err:
                break
            time.sleep(2)
        assert "Traceback" not in err

    def run(self, line: str, ending: tuple[int, ...] = (0,)) -> tuple[str, str]:
        """What a line prints, on standard output and error."""
        for there, here in self.meaning.items():
            line = line.replace(there, here)
        done = subprocess.run(
            line, shell=True, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=400,
            check=False,
        )  # fmt: skip
        assert done.returncode in ending, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout, done.stderr
