"""Weights of the diarizers (role `diarization`)."""

from __future__ import annotations

from demix.weights.registry import Weights, hub_files

_COMMUNITY = "pyannote/speaker-diarization-community-1"

ENTRIES: tuple[Weights, ...] = (
    Weights(
        name="pyannote_community_1",
        role="diarization",
        about="pyannote.audio's pipeline community-1: segmentation, voices, clustering",
        home=f"https://huggingface.co/{_COMMUNITY}",
        licence="CC-BY-4.0",
        files=hub_files(
            _COMMUNITY,
            "main",
            {
                "config": "config.yaml",
                "segmentation": "segmentation/pytorch_model.bin",
                "embedding": "embedding/pytorch_model.bin",
                "plda": "plda/plda.npz",
                "transform": "plda/xvec_transform.npz",
            },
        ),
        by_hand="The publisher asks for a name and an address first: accept the conditions on its page, then set the "
        "environment variable HF_TOKEN to a token of yours that may read it.",
    ),
)
