"""The captioners on a processor: `python -m benchmarks.backends_captioners [NAME...] [--write]`.

Nets of seven and eight billion parameters fill 31 and 35 GB in float32, and few processors are any faster with half as
many bits. So each is measured with some layers of its language model and with two more; the difference stands for each
layer that was left out, of time as of memory. All else is whole: pictures, question, the longest answer.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.backend import in_child, on_processor, row, table_head
from benchmarks.captioners import LAYERS, PUT, captioner

MODULE = "benchmarks.backends_captioners"
MEASURED = (3, 5)
"""Layers of the two nets that are measured; Qwen3-VL adds what it sees to the first three."""
RESULT = Path(__file__).parent / "results/backends_captioners.md"
NOTES = (
    f"A clip of 11 s in float32. Measured with {MEASURED[0]} and with {MEASURED[1]} layers of the language model, and",
    "counted up to all of them (28 and 36), which are alike. One clip at a time, random weights, the longest answer,",
    "and a tokenizer of bytes, as in backends_gpu.md. Peak memory includes pages of the files, which the system can",
    "take back: the numbers alone fill 31 and 35 GB.",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description="Captioners on a processor")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PUT)}; default: all")
    parser.add_argument("--write", action="store_true", help=f"put the outcome into benchmarks/results/{RESULT.name}")
    parser.add_argument("--layers", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in PUT]:
        parser.error(f"no captioner {', '.join(unknown)}; there are {', '.join(PUT)}")
    if options.layers:
        print(json.dumps(on_processor(captioner(options.names[0], options.layers, "float32"), "cpu")))
        return 0
    lines = table_head("Captioners on a processor", MODULE, "one CPU thread", "peak memory")
    print("\n".join(lines), flush=True)
    for name in options.names or PUT:
        lines.append(row(name, measured(name)))
        print(lines[-1], flush=True)
        if options.write:
            RESULT.write_text("\n".join([*lines, "", *NOTES, ""]), encoding="utf-8")
    return 0


def measured(name: str) -> dict[str, float] | str:
    """`load`, `speed` and `peak` of the whole net, or in one line why they could not be measured."""
    found = []
    for layers in MEASURED:
        command = [MODULE, name, "--layers", str(layers)]
        part = in_child(command, captioner(name, layers, "float32"), limit=None)
        if isinstance(part, str):
            return part
        print(f"{name}, {layers} layers: {part}", file=sys.stderr, flush=True)
        found.append(part)
    fewer, more = ({**part, "speed": 1 / part["speed"]} for part in found)
    share = (LAYERS[name] - MEASURED[0]) / (MEASURED[1] - MEASURED[0])
    whole = {key: fewer[key] + share * (more[key] - fewer[key]) for key in fewer}
    return {**whole, "speed": 1 / whole["speed"]}


if __name__ == "__main__":
    sys.exit(main())
