"""Factories as a user would write them: what tests of encoders of kind module give."""

import torch
from torch import nn


class MLP(nn.Module):
    def __init__(self, n_in, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(n_in, 7), nn.ReLU(), nn.Linear(7, width))

    def forward(self, x):
        return self.layers(x)


class CNN(nn.Module):
    """Of (N, H, W): BatchNorm behind the convolution, or GroupNorm.

    Without a bias before the norm: its gradient would be nothing but rounding, of which Adam makes steps.
    """

    def __init__(self, shape, width, norm="batch"):
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4) if norm == "batch" else nn.GroupNorm(2, 4)
        self.out = nn.Linear(4 * shape[0] * shape[1] // 4, width)

    def forward(self, x):
        x = self.norm(self.convolution(x[:, None])).relu()
        return self.out(nn.functional.max_pool2d(x, 2).flatten(1))


class GRU(nn.Module):
    """Of (N, T, d): the state at the last real step."""

    def __init__(self, n_in, width):
        super().__init__()
        self.gru = nn.GRU(n_in, width, batch_first=True)

    def forward(self, x, mask):
        states, _ = self.gru(x)
        return states[torch.arange(len(x)), mask.sum(1) - 1]


class Transformer(nn.Module):
    """Of (N, T, d), with torch's own layers and their dropout."""

    def __init__(self, n_in, width, dropout):
        super().__init__()
        self.embed = nn.Linear(n_in, width)
        layer = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=dropout, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x, mask):
        x = self.body(self.embed(x), src_key_padding_mask=~mask)
        return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


class OnFrozen(nn.Module):
    """A backbone that is not trained, in evaluation, and a layer that is."""

    def __init__(self, n_in, width):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.backbone = nn.Sequential(nn.Linear(n_in, 9), nn.BatchNorm1d(9), nn.ReLU())
        self.backbone.requires_grad_(False).eval()
        self.out = nn.Linear(9, width)

    def forward(self, x):
        return self.out(self.backbone(x))


class Noisy(nn.Module):
    """Random in training by more than dropout: noise on the input, and a gate that is drawn from its own values."""

    def __init__(self, n_in, width):
        super().__init__()
        self.layer, self.dropout = nn.Linear(n_in, width), nn.Dropout(0.3)

    def forward(self, x):
        if self.training:
            x = x + 0.1 * torch.randn_like(x)
        z = self.dropout(self.layer(x))
        return z * torch.bernoulli(z.sigmoid().detach()) if self.training else z * z.sigmoid()


class Branching(nn.Module):
    """Its path depends on its values, which vmap cannot follow."""

    def __init__(self, n_in, width):
        super().__init__()
        self.layer = nn.Linear(n_in, width)

    def forward(self, x):
        z = self.layer(x)
        return z.tanh() if z.mean() > 0 else z


def mlp(shape, width):
    return MLP(torch.Size(shape).numel(), width)


def batch_norm(shape, width):
    return CNN(shape, width)


def group_norm(shape, width):
    return CNN(shape, width, "group")


def gru(shape, width):
    return GRU(shape[1], width)


def transformer(shape, width, dropout=0.1):
    return Transformer(shape[1], width, dropout)


def frozen(shape, width):
    return OnFrozen(shape[0], width)


def noisy(shape, width):
    return Noisy(shape[0], width)


def branching(shape, width):
    return Branching(shape[0], width)
