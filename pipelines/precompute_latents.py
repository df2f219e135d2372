"""Compute latents, text embeddings and audio features of a dataset once, before training.

    python pipelines/precompute_latents.py DATASET --recipe mtv_5b                             on this machine
    ray job submit --working-dir . -- python pipelines/precompute_latents.py DATASET ...       as a job on a cluster
    ray submit cluster/on_prem.yaml pipelines/precompute_latents.py -- DATASET ...             by the cluster launcher

The same as `python -m mtv_train precompute`; all of its options are explained by --help.
"""

import sys
from pathlib import Path

# `ray submit` and `ray job submit` run this file where the package may not be installed, only copied.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mtv_train.cli import main

if __name__ == "__main__":
    sys.exit(main(["precompute", *sys.argv[1:]]))
