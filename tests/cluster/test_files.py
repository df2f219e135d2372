"""The files in cluster/ are valid, complete, and agree with the project; what is tried for real is tried elsewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
LAUNCHED = sorted(CLUSTER.glob("*.yaml"))
"""For Ray's cluster launcher."""
KUBERNETES = sorted((CLUSTER / "kuberay").glob("*.yaml"))


def load(path: Path) -> dict[str, Any]:
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(tree, dict)
    return tree


def pinned(package: str) -> str:
    """The version in constraints.txt."""
    found = re.search(rf"^{package}==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert found
    return found[1]


@pytest.mark.parametrize("path", LAUNCHED, ids=lambda path: path.name)
def test_ray_accepts_a_cluster_file(path: Path) -> None:
    validate_config(prepare_config(load(path)))


@pytest.mark.parametrize("path", LAUNCHED, ids=lambda path: path.name)
def test_what_is_copied_suffices_to_make_the_environment_and_is_no_more(path: Path) -> None:
    """Ray reads all of a mount before it copies any of it, so the checkout as a whole must not be one."""
    mounts = load(path)["file_mounts"]
    token = "~/.ray/auth_token"
    assert mounts.pop(token) == token
    assert all(remote == f"~/demix/{local}" for remote, local in mounts.items())
    assert all((ROOT / local).exists() for local in mounts.values())
    assert {"demix/", "mtv_train/", "pipelines/", "Makefile", "pyproject.toml", "constraints.txt"} <= set(
        mounts.values()
    )
    assert "make -C ~/demix .venv/.ready" in load(path)["setup_commands"]


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.name)
def test_a_manifest_for_kuberay_is_whole(path: Path) -> None:
    tree = load(path)
    assert tree["apiVersion"] == "ray.io/v1"
    cluster = tree["spec"] if tree["kind"] == "RayCluster" else tree["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == pinned("ray")
    pods = [cluster["headGroupSpec"]["template"]["spec"]]
    pods += [group["template"]["spec"] for group in cluster["workerGroupSpecs"]]
    for pod in pods:
        [container] = pod["containers"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
    assert len({pod["containers"][0]["image"] for pod in pods}) == 1


def test_the_image_holds_what_the_manifests_run() -> None:
    lines = (CLUSTER / "kuberay/Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY") for word in line.split()[2:-1]}
    assert all((ROOT / name).exists() for name in copied)
    assert {"demix", "mtv_train", "pipelines", "Makefile", "pyproject.toml", "constraints.txt"} <= copied
    assert "/demix/pipelines/build_demix.py" in load(CLUSTER / "kuberay/job.yaml")["spec"]["entrypoint"]


@pytest.mark.parametrize("path", sorted(CLUSTER.glob("slurm/*")), ids=lambda path: path.name)
def test_a_batch_script_parses(path: Path) -> None:
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert path.stat().st_mode & 0o111
