"""Weights of the active speaker networks (role `active_speaker`)."""

from __future__ import annotations

from demix.weights.registry import WeightFile, Weights

_LIAO = "https://raw.githubusercontent.com/Junhua-Liao"

ENTRIES: tuple[Weights, ...] = (
    Weights(
        name="lr_asd",
        role="active_speaker",
        about="LR-ASD fine-tuned on TalkSet, for film and web video",
        home="https://github.com/Junhua-Liao/LR-ASD",
        licence="MIT",
        files=(
            WeightFile(
                "model",
                "finetuning_TalkSet.model",
                f"{_LIAO}/LR-ASD/1b6dcd2d8fc2895683de6508ec6294ec47d388ca/weight/finetuning_TalkSet.model",
                3_426_337,
                "6b4ef53694e874e96cf630198dc479c78aebb3993bbf166aee3d926dfe7d9342",
            ),
        ),
    ),
    Weights(
        name="light_asd",
        role="active_speaker",
        about="Light-ASD fine-tuned on TalkSet",
        home="https://github.com/Junhua-Liao/Light-ASD",
        licence="MIT",
        files=(
            WeightFile(
                "model",
                "finetuning_TalkSet.model",
                f"{_LIAO}/Light-ASD/ed38c232de5efe0261dbd68627c0ade7cdfe14eb/weight/finetuning_TalkSet.model",
                4_175_289,
                "efc375833887eefa9d209dc92810e18519b04c3c73ea35a549f2a7f40b7d94d5",
            ),
        ),
    ),
    Weights(
        name="talknet",
        role="active_speaker",
        about="TalkNet trained on TalkSet, the paper's judge",
        home="https://github.com/TaoRuijie/TalkNet-ASD",
        licence="MIT",
        files=(WeightFile("model", "pretrain_TalkSet.model"),),
        by_hand="The release lies on Google Drive (file id 1AbN9fCf9IexMxEKXLQY2KYBlb-IhSEea, named on its home page); "
        "download pretrain_TalkSet.model in a browser, for nothing but a browser gets past its page.",
    ),
)
