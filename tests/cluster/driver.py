"""A driver for tests of nodes: `python -m tests.cluster.driver ADDRESS STORE ITEMS SECONDS`.

It runs toy stages over items, each `SECONDS` long, says `begun` on standard output once nodes are going to be asked,
`working` once the first item has ended, and at the end how every item ended, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from demix.command_line import run
from demix.engine import log
from demix.engine.phase import Phase
from demix.engine.ray_runner import RayRunner
from demix.engine.row import Row
from demix.engine.runner import EngineSettings, RunOptions
from demix.preflight import require, tokens
from demix.store import Store
from tests.engine.toys import Double, Square, ToySettings, clips, rows


def main() -> int:
    address, root, items, seconds = sys.argv[1:]
    store = Store(root)
    log.configure(Path(root) / "logs")
    journal = ToySettings(journal=f"{root}/journal", seconds=float(seconds))
    phase = Phase("toys", [Double(journal), Square(journal)], store, lambda: rows(clips(int(items))))
    engine = EngineSettings(address=address, batch_rows=1)
    runner = RayRunner(engine)
    said: set[str] = set()

    def say(word: str) -> None:
        if word not in said:
            said.add(word)
            print(word, flush=True)

    def done(row: Row) -> None:
        say("working")

    with tokens({"--work": store}) as proof:
        say("begun")
        require(runner, proof)
        phase.run(lambda: runner, RunOptions(engine=engine, total=int(items), log_folder=Path(root) / "logs"), done)
        say("mapping")
        folders = list(runner.map(Path.exists, [Path(root) / "journal"] * 20))
    runner.close()
    print(json.dumps({"ends": {end.item.id: end.state for end in phase.ends()}, "mapped": all(folders)}))
    return 0


if __name__ == "__main__":
    sys.exit(run("driver", main, "go on"))
