"""Factories of the modules that `packs_of_modules.py` times, as a study file would name them."""

from __future__ import annotations

from torch import Tensor, nn


class CNN(nn.Module):
    """Two convolutions with a norm, on images (N, H, W)."""

    def __init__(self, shape: tuple[int, ...], width: int, norm: str) -> None:
        super().__init__()

        def normed(channels: int) -> nn.Module:
            return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(4, channels)

        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 8, 3, padding=1, bias=False), normed(8), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 16, 3, padding=1, bias=False), normed(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(16 * (shape[0] // 4) * (shape[1] // 4), width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x[:, None])


class GRU(nn.Module):
    """The last state of a sequence (N, T, d)."""

    def __init__(self, n_in: int, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(n_in, width, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        states, _ = self.gru(x)
        if mask is None:
            return states[:, -1]
        last = (mask.sum(1) - 1)[:, None, None].expand(-1, 1, states.shape[2])
        return states.gather(1, last).squeeze(1)


class Transformer(nn.Module):
    """Two layers of torch's own on a sequence (N, T, d), and the mean over its real steps."""

    def __init__(self, n_in: int, width: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Linear(n_in, width)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=dropout, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.body(self.embed(x), src_key_padding_mask=~mask)
        return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


class MLP(nn.Module):
    """What the built-in `mlp` is."""

    def __init__(self, n_in: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_in, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def mlp(shape: tuple[int, ...], width: int) -> nn.Module:
    return MLP(shape[0], width)


def cnn(shape: tuple[int, ...], width: int, norm: str = "group") -> nn.Module:
    return CNN(shape, width, norm)


def gru(shape: tuple[int, ...], width: int) -> nn.Module:
    return GRU(shape[1], width)


def transformer(shape: tuple[int, ...], width: int, dropout: float = 0.0) -> nn.Module:
    return Transformer(shape[1], width, dropout)
