"""Build the DEMIX dataset from raw films.

    python pipelines/build_demix.py FILMS... --output DATASET                      on this machine
    ray job submit --working-dir . -- python pipelines/build_demix.py ...          as a job on a cluster
    ray submit cluster/on_prem.yaml pipelines/build_demix.py -- ...                through the cluster launcher

The same as `demix build`; all of its options are explained by --help.
"""

import sys
from pathlib import Path

# `ray submit` and `ray job submit` run this file where the package may not be installed, only copied.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demix.cli import main

if __name__ == "__main__":
    sys.exit(main(["build", *sys.argv[1:]]))
