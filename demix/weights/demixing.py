"""Weights of the demixers (roles `demix_three` and `demix_two`)."""

from __future__ import annotations

from demix.weights.registry import WeightFile, Weights

_CDX23 = "https://github.com/ZFTurbo/MVSEP-CDX23-Cinematic-Sound-Demixing"
_MSST = "https://github.com/ZFTurbo/Music-Source-Separation-Training"
_SPLEETER = "https://github.com/deezer/spleeter/releases/download/v1.4.0/2stems.tar.gz"
_SPLEETER_SHA256 = "f3a90b39dd2874269e8b05a48a86745df897b848c61f3958efc80a39152bd692"


def _checkpoint(number: int, sha256: str) -> WeightFile:
    """The release names a checkpoint by its training run and the first eight hex digits of the file's sha256."""
    name = f"97d170e1-{sha256[:8]}.th"
    return WeightFile(f"model{number}", name, f"{_CDX23}/releases/download/v.1.0.0/{name}", sha256=sha256)


def _spleeter(key: str, name: str, size: int, sha256: str) -> WeightFile:
    return WeightFile(key, name, _SPLEETER, size, sha256, member=name, archive_sha256=_SPLEETER_SHA256)


ENTRIES: tuple[Weights, ...] = (
    Weights(
        name="cdx23",
        role="demix_three",
        about="MVSEP-CDX23, the paper's demixer, first checkpoint: enough for `checkpoints: 1`",
        home=_CDX23,
        licence="none stated",
        forbids="passing the weights on: nobody granted it. Trained on DnR v2.",
        files=(_checkpoint(1, "dbb4db154df7e45a5cb72d1659c48937e757f6d6b0eef8ca4199e6e38f8d8f37"),),
        convert="demix.models.demixing.cdx23_checkpoint:convert",
    ),
    Weights(
        name="cdx23_ensemble",
        role="demix_three",
        about="MVSEP-CDX23, the other two checkpoints of the same training: for `checkpoints: 3`",
        home=_CDX23,
        licence="none stated",
        forbids="passing the weights on: nobody granted it. Trained on DnR v2.",
        files=(
            _checkpoint(2, "a778de4a72b90482a578bfb6ea6bf41462785d9136c11802c67a864a40f29434"),
            _checkpoint(3, "e41a54684d3cd6794ee2bb59183ffeb11a9a3d42db873a6a08a9829ac3ef4cfe"),
        ),
        convert="demix.models.demixing.cdx23_checkpoint:convert",
    ),
    Weights(
        name="bandit_plus",
        role="demix_three",
        about="BandIt Plus trained on DnR v2: speech, music, effects at 44.1 kHz",
        home=_MSST,
        licence="MIT",
        files=(
            WeightFile(
                "model",
                "model_bandit_plus_dnr_sdr_11.47.chpt",
                f"{_MSST}/releases/download/v.1.0.3/model_bandit_plus_dnr_sdr_11.47.chpt",
            ),
        ),
    ),
    Weights(
        name="spleeter_2stems",
        role="demix_two",
        about="Spleeter 2stems, the paper's second demixer, as its TensorFlow checkpoint",
        home="https://github.com/deezer/spleeter",
        licence="MIT",
        files=(
            _spleeter(
                "index", "model.index", 5_244, "55661a09f79c86071fc7077b44b4cf1f01b6d82bbbb83ed94cb68a2f9944e378"
            ),
            _spleeter(
                "data",
                "model.data-00000-of-00001",
                78_614_080,
                "7747f9fd2c782306dbec1504360fbb645a097a48446f23486c3ff9c89bc11788",
            ),
            _spleeter(
                "checkpoint", "checkpoint", 67, "011c96b970c1f56137037924fe1a0f0851369b0ee6692e120aea798615326f48"
            ),
        ),
    ),
)
