"""Your own training: one function that trains two encoders once and returns their scores.

A pair as in CLIP, on the digits of scikit-learn: small transformers that read the upper and the lower half of an image,
a task loss for each, and InfoNCE between them, whose weight is what the study searches for.
"""

from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

PAIR = ("upper", "lower")


class Encoder(nn.Module):
    """Half a digit, four rows of eight pixels, as a sequence of rows: its representation and ten logits."""

    def __init__(self, width=32):
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.place = nn.Parameter(torch.zeros(4, width))
        self.layer = nn.TransformerEncoderLayer(width, nhead=4, dim_feedforward=width, dropout=0.0, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, rows):
        representation = self.layer(self.embed(rows) + self.place).mean(dim=1)
        return representation, self.head(representation)


@cache  # a worker calls `train` many times, and reads the data once
def data():
    digits = load_digits()
    images = torch.tensor(digits.images / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    order = torch.tensor(np.random.default_rng(0).permutation(len(labels)))  # the same split in every trial
    rows = {"train": order[:600], "valid": order[600:1200], "test": order[1200:]}
    return {split: ((images[index, :4], images[index, 4:]), labels[index]) for split, index in rows.items()}


def info_nce(first, second, temperature=0.1):
    logits = functional.normalize(first, dim=1) @ functional.normalize(second, dim=1).T / temperature
    target = torch.arange(len(logits))
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


def train(trial):
    torch.manual_seed(trial.seed)
    epochs = trial.options["epochs"]
    encoders = nn.ModuleDict({name: Encoder() for name in PAIR})
    optimiser = torch.optim.AdamW(encoders.parameters(), lr=trial.hyperparameters["learning_rate"])
    saved, start = trial.folder / "last.pt", 0
    if saved.exists():  # a worker was killed: go on from what it left
        state = torch.load(saved)
        encoders.load_state_dict(state["encoders"])
        optimiser.load_state_dict(state["optimiser"])
        start = state["epoch"]

    views, labels = data()["train"]
    for epoch in range(start, epochs):
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(trial.seed + epoch))
        for batch in order.split(100):
            out = [encoders[name](view[batch]) for name, view in zip(PAIR, views, strict=True)]
            task = sum(functional.cross_entropy(logits, labels[batch]) for _, logits in out)
            loss = task + trial.strength * info_nce(out[0][0], out[1][0])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        trial.report(epoch + 1, of=epochs, scores=scores(encoders, "valid"))
        state = {"encoders": encoders.state_dict(), "optimiser": optimiser.state_dict(), "epoch": epoch + 1}
        torch.save(state, trial.folder / "new.pt")
        (trial.folder / "new.pt").replace(saved)  # whole or not at all

    for name in PAIR:
        trial.keep(name, encoders[name])
    return scores(encoders, trial.split)


@torch.no_grad()
def scores(encoders, split):
    views, labels = data()[split]
    logits = {name: encoders[name](view)[1] for name, view in zip(PAIR, views, strict=True)}
    return {name: (one.argmax(dim=1) == labels).float().mean().item() for name, one in logits.items()}
