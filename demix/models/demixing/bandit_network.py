"""BandIt Plus: a spectrum in bands, recurrent layers along time and along the bands, one mask a stem (Watcharasupat
et al., "A Generalized Bandsplit Neural Network for Cinematic Audio Source Separation").

Module names are those of the released state dict. `b` batch, `k` bands, `t` frames, `e` embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from demix.models.demixing.bandit_bands import Band, musical_bands


class BanditPlus(nn.Module):
    """(batch, samples) of one channel in, (batch, stems, samples) out."""

    def __init__(
        self,
        stems: Sequence[str] = ("speech", "music", "effects"),
        sample_rate: int = 44_100,
        bands: int = 64,
        layers: int = 8,
        embedding: int = 128,
        recurrent: int = 256,
        hidden: int = 512,
        n_fft: int = 2048,
        hop: int = 512,
    ):
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.stft, self.istft = _Window(n_fft), _Window(n_fft)
        chosen = musical_bands(bands, sample_rate, n_fft)
        self.bsrnn = _BandSplitNetwork(chosen, stems, layers, embedding, recurrent, hidden, n_fft // 2 + 1)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        batch, samples = wave.shape
        spectrum = self.spectrum(wave)
        estimates = self.masks(spectrum) * spectrum[:, None]  # (batch, stems, bins, frames)
        window = self.istft.window
        scale = window.square().sum().sqrt()
        flat = torch.istft(
            (estimates * scale).flatten(0, 1), self.n_fft, self.hop, window=window, center=True, length=samples
        )
        return flat.view(batch, -1, samples)

    def spectrum(self, wave: torch.Tensor) -> torch.Tensor:
        """Complex (batch, bins, frames), divided by the window's root energy."""
        window = self.stft.window
        found = torch.stft(
            wave, self.n_fft, self.hop, window=window, center=True, pad_mode="constant", return_complex=True
        )
        return found / window.square().sum().sqrt()

    def masks(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Complex (batch, stems, bins, frames)."""
        return self.bsrnn(spectrum)


class _Window(nn.Module):
    """A window that lies in the state dict."""

    window: torch.Tensor

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("window", torch.hann_window(size))


class _BandSplitNetwork(nn.Module):
    def __init__(
        self,
        bands: Sequence[Band],
        stems: Sequence[str],
        layers: int,
        embedding: int,
        recurrent: int,
        hidden: int,
        bins: int,
    ):
        super().__init__()
        self.band_split = _BandSplit(bands, embedding)
        self.tf_model = _Sequence(layers, embedding, recurrent)
        self.mask_estim = nn.ModuleDict({stem: _Masks(bands, embedding, hidden, bins) for stem in stems})

    def forward(self, spectrum: torch.Tensor) -> torch.Tensor:
        embedded = self.tf_model(self.band_split(spectrum))
        return torch.stack([masks(embedded) for masks in self.mask_estim.values()], dim=1)


class _BandSplit(nn.Module):
    """Each band's real and imaginary parts as one embedding a frame."""

    def __init__(self, bands: Sequence[Band], embedding: int):
        super().__init__()
        self.bands = bands
        self.norm_fc_modules = nn.ModuleList(_NormedLinear(2 * band.width, embedding) for band in bands)

    def forward(self, spectrum: torch.Tensor) -> torch.Tensor:
        parts = torch.view_as_real(spectrum).permute(0, 2, 3, 1)  # (b, t, 2, bins)
        embedded = [
            module(parts[..., band.start : band.end].flatten(2))
            for band, module in zip(self.bands, self.norm_fc_modules, strict=True)
        ]
        return torch.stack(embedded, dim=1)  # (b, k, t, e)


class _NormedLinear(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm = nn.LayerNorm(inputs)
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.norm(x))


class _Sequence(nn.Module):
    """Pairs of residual recurrent layers: one along time, one along the bands."""

    def __init__(self, pairs: int, embedding: int, recurrent: int):
        super().__init__()
        self.seqband = nn.ModuleList(_ResidualRecurrent(embedding, recurrent) for _ in range(2 * pairs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.seqband:
            x = layer(x).transpose(1, 2)
        return x  # (b, k, t, e): an even number of turns


class _ResidualRecurrent(nn.Module):
    def __init__(self, embedding: int, recurrent: int):
        super().__init__()
        self.norm = nn.LayerNorm(embedding)
        self.rnn = nn.GRU(embedding, recurrent, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * recurrent, embedding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, rows, steps, embedding = x.shape
        turned, _ = self.rnn(self.norm(x).reshape(batch * rows, steps, embedding))
        return x + self.fc(turned).view(batch, rows, steps, embedding)


class _Masks(nn.Module):
    """The complex mask of one stem; where bands overlap their estimates are averaged."""

    def __init__(self, bands: Sequence[Band], embedding: int, hidden: int, bins: int):
        super().__init__()
        self.bands, self.bins = bands, bins
        self.norm_mlp = nn.ModuleList(_MaskOfBand(band.width, embedding, hidden) for band in bands)
        for index, band in enumerate(bands):
            self.register_buffer(f"freq_weights/{index}", torch.from_numpy(band.weights))

    def forward(self, embedded: torch.Tensor) -> torch.Tensor:
        batch, _, frames, _ = embedded.shape
        mask = torch.zeros(batch, self.bins, frames, dtype=torch.complex64, device=embedded.device)
        for index, (band, module) in enumerate(zip(self.bands, self.norm_mlp, strict=True)):
            weights = self.get_buffer(f"freq_weights/{index}")
            mask[:, band.start : band.end] += module(embedded[:, index]) * weights[:, None]
        return mask


class _MaskOfBand(nn.Module):
    def __init__(self, width: int, embedding: int, hidden: int):
        super().__init__()
        self.norm = nn.LayerNorm(embedding)
        self.hidden = nn.Sequential(nn.Linear(embedding, hidden), nn.Tanh())
        self.output = nn.Sequential(nn.Linear(hidden, 4 * width), nn.GLU(dim=-1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = self.output(self.hidden(self.norm(x)))  # (b, t, 2 * width)
        return torch.view_as_complex(parts.unflatten(-1, (-1, 2)).contiguous()).transpose(1, 2)  # (b, width, t)
