"""What the audio side of the model looks like; the backbone's own settings are diffusers' and stay as they are."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from demix.config import Settings


class MTVSettings(Settings):
    """Shape of the multi-stream temporal ControlNet (paper section 4.2). The defaults are the paper's model with the
    small temporal convolution; `MTVSettings.release()` is what loads the authors' weights."""

    speech_tracks: Literal[1, 2] = 1
    """Speech tracks with their own place in the model: 2 is the release's two-speaker variant, not in the paper."""
    extraction: Literal["separate", "joint"] = "separate"
    """`joint` is the ablation W/o SE: music passes the interval interaction blocks with the other tracks and is
    injected by cross-attention; there is no holistic stream."""
    injection: Literal["separate", "shared"] = "separate"
    """`shared` is the ablation W/o SI: every track is encoded by its own encoder, then all tokens of an interval are
    injected by one cross-attention; there are no interaction blocks and no holistic stream."""

    feature_layers: int = 12
    """Hidden layers of wav2vec2 that are kept, all of them."""
    feature_dim: int = 768
    """Width of a wav2vec2 hidden state."""
    audio_window: int = 2
    """Neighbouring video frames on either side whose features a frame sees: a window is 2 * audio_window + 1 frames."""
    projector_dim: int = 512
    """Width of the projector's two hidden linear layers."""
    audio_tokens: int = 32
    """Tokens per track and interval."""
    audio_dim: int = 768
    """Width of an audio token."""
    temporal_conv: Literal["per_token", "dense"] = "per_token"
    """The convolution that groups video frames into latent intervals: over the channels of each token (1.2 M
    parameters), or over all tokens' channels at once as in the release (1.2 B)."""
    interval_blocks: int = 4
    """Interval interaction blocks."""
    interval_heads: int = 48
    """Attention heads of an interaction block; divides audio_dim."""

    zero_init: bool = True
    """Start with cross-attention outputs at zero, so that step 0 is the backbone itself. The release starts them at
    random (its line that zeroes them is commented out); the style layer is zero in both."""
    official: bool = False
    """Repeat the release's numbers where they differ from what is right: interaction blocks take the first sample's
    timestep for the whole batch; clean frames leave through the current timestep's final modulation; frame counts
    other than 1 + 4n are grouped by dropping; `trainable("attention")` also trains the norm before the feed-forward,
    whose name in the release holds "attention"."""

    @model_validator(mode="after")
    def _one_ablation(self) -> MTVSettings:
        if self.extraction == "joint" and self.injection == "shared":
            raise ValueError("extraction=joint and injection=shared exclude each other: choose one ablation")
        if self.audio_dim % self.interval_heads:
            raise ValueError(f"interval_heads={self.interval_heads} does not divide audio_dim={self.audio_dim}")
        return self

    @classmethod
    def release(cls, speech_tracks: Literal[1, 2] = 1) -> MTVSettings:
        """The authors' released model: dense convolution, their initialisation, their numbers."""
        return cls(speech_tracks=speech_tracks, temporal_conv="dense", zero_init=False, official=True)

    @property
    def window_frames(self) -> int:
        """Video frames in a window."""
        return 2 * self.audio_window + 1

    @property
    def tracks(self) -> tuple[str, ...]:
        """All tracks, in the order of `AudioWindows`: speech, [speech2,] effects, music."""
        return (*self.speech_names, "effects", "music")

    @property
    def speech_names(self) -> tuple[str, ...]:
        """The speech tracks."""
        return ("speech", "speech2")[: self.speech_tracks]

    @property
    def interval_tracks(self) -> tuple[str, ...]:
        """Tracks whose tokens are injected interval by interval."""
        return self.tracks if not self.has_style else (*self.speech_names, "effects")

    @property
    def has_style(self) -> bool:
        """Whether music shapes all intervals by scale and shift (the holistic stream)."""
        return self.extraction == "separate" and self.injection == "separate"

    @property
    def has_interaction(self) -> bool:
        """Whether the interval interaction blocks exist."""
        return self.injection == "separate"
