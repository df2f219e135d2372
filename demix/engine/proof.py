"""What a machine must show before it gets work: it sees the places and films, runs this very code, has the weights.

A cluster's nodes come and go while a build runs. So this is not asked once at the start, but on every node that turns
up, and again by every worker when it is made: what an unfit node answers would be lost or wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from demix.errors import DemixError, MachineTrouble
from demix.store import Store

THIS_MACHINE = "this machine"
"""Name of the node of runners that have one."""
SHARED = "a shared file system (NFS, Lustre, a mounted bucket)"


class UnfitNode(MachineTrouble):
    """A worker is on a node that cannot do its work; another one may."""


@dataclass(frozen=True)
class Proof:
    """What must hold on a node. Small and picklable; made by the driver."""

    token: str = ""
    """Key of a file that the driver has left in every place."""
    places: tuple[tuple[str, str], ...] = ()
    """(option that names it, root of the store)."""
    films: tuple[str, ...] = ()
    """Paths of some of the films."""
    code: tuple[tuple[str, str], ...] = ()
    """(package, its digest), see `digest`."""
    weights: tuple[str, ...] = ()
    """Names of the weights that stages load."""
    programs: tuple[tuple[str, str], ...] = ()
    """(path, what to say without) of programs that models run."""
    weights_folder: str | None = None
    fetch_weights: bool = False

    def problem(self, node: str) -> str:
        """Why this machine, called `node`, is unfit, with the remedy, in a sentence; empty if it is fit. Fetches
        missing weights where the settings say so."""
        where = "" if node == THIS_MACHINE else f"node {node}: "
        try:
            checks = (self._code, self._places, self._films, self._programs, self._weights)
            return next((problem for check in checks if (problem := check(node))), "")
        except DemixError as error:
            return f"{where}{error}"
        except Exception as error:
            return f"{where}{type(error).__name__}: {error}"

    def _code(self, node: str) -> str:
        for package, wanted in self.code:
            if digest(package) != wanted:
                return (
                    f"node {node}: another {package} is installed there than here; bring the same code to all nodes "
                    "(`ray up` copies it, `ray job submit --working-dir .` sends it along)"
                )
        return ""

    def _places(self, node: str) -> str:
        for option, root in self.places:
            if not Store(root).exists(self.token):
                return (
                    f"{root}: node {node} cannot see it. All nodes must reach it at the same path: put {option} on "
                    f"{SHARED}"
                )
        return ""

    def _films(self, node: str) -> str:
        for path in self.films:
            if not Path(path).exists():
                return (
                    f"{path}: node {node} cannot see this film. All nodes must reach films at the same path: put them "
                    f"on {SHARED}, or name them by a URI (s3://...)"
                )
        return ""

    def _programs(self, node: str) -> str:
        where = "" if node == THIS_MACHINE else f"node {node}: "
        return next((f"{where}{said}" for path, said in self.programs if not Path(path).exists()), "")

    def _weights(self, node: str) -> str:
        if not self.weights:
            return ""
        from demix import weights

        weights.use(self.weights_folder)
        if self.fetch_weights:
            weights.ensure(self.weights)
        for name in self.weights:
            weights.locate(name)
        return ""


def digests(packages: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """`Proof.code` of packages as they are here."""
    return tuple((package, digest(package)) for package in packages)


@cache
def digest(package: str) -> str:
    """Of all source files of a package that is installed here; empty if it is not. Nothing is imported."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return ""
    root = Path(next(iter(spec.submodule_search_locations)))
    content = hashlib.blake2b(digest_size=16)
    for path in sorted(root.rglob("*.py")):
        content.update(f"{path.relative_to(root).as_posix()}\0".encode())
        content.update(path.read_bytes())
    return content.hexdigest()
