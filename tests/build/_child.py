"""Run as a script: `demix` with the cheap models registered, in this process and in the workers of its Ray."""

from __future__ import annotations

import sys

from tests.build import cheap


def main(arguments: list[str]) -> int:
    cheap.register()
    if "ray" in arguments:
        import ray

        hook = {"worker_process_setup_hook": "tests.build.cheap.register"}
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=hook)
    from demix.cli import main as demix

    return demix(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
