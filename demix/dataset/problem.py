"""What `verify` says about a file that is not as it should be."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from demix.dataset import layout
from demix.store import Store

_AGAIN = "\N{NULL}"
"""In a remedy, stands for the command that writes anew what is missing."""

REPACK = f"delete the shard's .commit.json and {_AGAIN}: the shard is then written anew; or copy it from a good replica"
REMANIFEST = f"{_AGAIN}: it writes the manifests anew; or copy them from a good replica"
REBUILD = f"the shard and the manifests are of different builds: {_AGAIN}, or copy both from a good replica"
COMMIT = f"{_AGAIN}: it writes the shard anew"
LEFT = f"{_AGAIN}, which removes it; or remove it"


@dataclass(frozen=True, order=True)
class Problem:
    file: str
    """Path relative to the dataset; a member of a tar is written `<tar>:<member>`."""
    what: str
    remedy: str


def with_commands(problems: Iterable[Problem], dataset: Store) -> Iterator[Problem]:
    """The problems of a dataset, with the command that mends it.

    A build that came to its end has annotated all of its clips, so that packing them is enough. Of one that was
    interrupted nobody knows how far it came: there it takes the command that was interrupted.
    """
    words = ["demix", "pack", "--output", str(dataset)]
    if not (dataset.exists(".work") or dataset.exists(".work/settings.json")):
        words += ["--work", "WORK_STORE"]
    again = f"run `{shlex.join(words)}`"
    if not dataset.exists(layout.MANIFEST_COMMIT):
        where = shlex.quote(str(dataset))
        again = f"give the command again that was interrupted (`demix build FILMS --output {where}` and its options)"
    for problem in problems:
        yield replace(problem, remedy=problem.remedy.replace(_AGAIN, again))
