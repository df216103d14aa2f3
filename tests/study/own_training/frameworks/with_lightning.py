"""Own training with Lightning, whose checkpoint callback saves to the trial's folder; `ckpt_path` goes on there."""

import lightning
import torch
from digit_halves import PAIR, halves
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Sampler, TensorDataset


class AlignedPair(lightning.LightningModule):
    def __init__(self, *, strength, seed, learning_rate, width=32):
        super().__init__()
        self.save_hyperparameters()
        self.encoders = nn.ModuleDict(
            {name: nn.Sequential(nn.Flatten(), nn.Linear(32, width), nn.ReLU()) for name in PAIR}
        )
        self.heads = nn.ModuleDict({name: nn.Linear(width, 10) for name in PAIR})

    def training_step(self, batch, _):
        *views, labels = batch
        first, second = (self.encoders[name](view) for name, view in zip(PAIR, views, strict=True))
        task = functional.cross_entropy(self.heads[PAIR[0]](first), labels)
        task += functional.cross_entropy(self.heads[PAIR[1]](second), labels)
        similarity = functional.normalize(first, dim=1) @ functional.normalize(second, dim=1).T / 0.1
        target = torch.arange(len(labels), device=self.device)
        align = (functional.cross_entropy(similarity, target) + functional.cross_entropy(similarity.T, target)) / 2
        return task + self.hparams.strength * align

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.hparams.learning_rate)

    def train_dataloader(self):
        data = dataset("train")
        return DataLoader(data, batch_size=100, sampler=Shuffled(len(data), seed=self.hparams.seed))

    @torch.no_grad()
    def scores(self, split):
        *views, labels = (one.to(self.device) for one in dataset(split).tensors)
        return {
            name: (self.heads[name](self.encoders[name](view)).argmax(dim=1) == labels).float().mean().item()
            for name, view in zip(PAIR, views, strict=True)
        }


class Shuffled(Sampler):
    """An order for each epoch, which Lightning tells it: a run that goes on sees the batches it would have seen."""

    def __init__(self, rows, *, seed):
        self.rows, self.seed, self.epoch = rows, seed, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return self.rows

    def __iter__(self):
        return iter(torch.randperm(self.rows, generator=torch.Generator().manual_seed(self.seed + self.epoch)).tolist())


class Report(Callback):
    def __init__(self, trial):
        self.trial = trial

    def on_train_epoch_end(self, trainer, module):
        self.trial.report(trainer.current_epoch + 1, of=trainer.max_epochs, scores=module.scores("valid"))


def dataset(split):
    return TensorDataset(*map(torch.as_tensor, halves()[split]))


def train(trial):
    lightning.seed_everything(trial.seed, verbose=False)
    model = AlignedPair(strength=trial.strength, seed=trial.seed, **trial.hyperparameters)
    trainer = lightning.Trainer(
        max_epochs=trial.options["epochs"],
        accelerator="gpu" if trial.device == "cuda" else "cpu",
        devices=1,
        callbacks=[Report(trial), ModelCheckpoint(dirpath=trial.folder, save_last=True)],
        default_root_dir=trial.folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    last = trial.folder / "last.ckpt"  # what a killed worker left
    trainer.fit(model, ckpt_path=last if last.exists() else None)
    for name in PAIR:
        trial.keep(name, nn.Sequential(model.encoders[name], model.heads[name]))
    return model.scores(trial.split)
