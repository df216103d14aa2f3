"""Own training with the Trainer of Hugging Face: two tiny models from their configurations, nothing from the hub.

The trial's folder is the Trainer's `output_dir`: it saves a checkpoint there after each epoch, and goes on from it.
"""

import torch
from digit_halves import PAIR, halves
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    ViTConfig,
    ViTModel,
    set_seed,
)

SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


class AlignedPair(nn.Module):
    """A ViT that sees the upper half, and a BERT that reads the lower one as 32 words, its pixels."""

    def __init__(self, strength):
        super().__init__()
        self.strength = strength
        self.vit = ViTModel(ViTConfig(image_size=(4, 8), patch_size=2, num_channels=1, **SMALL))
        self.bert = BertModel(BertConfig(vocab_size=17, max_position_embeddings=32, **SMALL))
        self.heads = nn.ModuleList(nn.Linear(32, 10) for _ in PAIR)

    def forward(self, pixel_values, input_ids, labels):
        first = self.vit(pixel_values).last_hidden_state.mean(dim=1)
        second = self.bert(input_ids).last_hidden_state.mean(dim=1)
        logits = [head(one) for head, one in zip(self.heads, (first, second), strict=True)]
        task = sum(functional.cross_entropy(one, labels) for one in logits)
        similarity = functional.normalize(first, dim=1) @ functional.normalize(second, dim=1).T / 0.1
        target = torch.arange(len(labels), device=labels.device)
        align = (functional.cross_entropy(similarity, target) + functional.cross_entropy(similarity.T, target)) / 2
        return {"loss": task + self.strength * align, "logits": torch.stack(logits, dim=1)}


class Digits(Dataset):
    def __init__(self, split):
        self.upper, self.lower, self.labels = map(torch.as_tensor, halves()[split])

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        words = (16 * self.lower[row]).long().flatten()
        return {"pixel_values": self.upper[row, None], "input_ids": words, "labels": self.labels[row]}


def accuracies(predicted):
    right = predicted.predictions.argmax(axis=-1) == predicted.label_ids[:, None]
    return dict(zip(PAIR, right.mean(axis=0).tolist(), strict=True))


class Report(TrainerCallback):
    def __init__(self, trial):
        self.trial = trial

    def on_evaluate(self, args, state, control, metrics, **_):
        scores = {name: metrics[f"eval_{name}"] for name in PAIR}
        self.trial.report(round(state.epoch), of=args.num_train_epochs, scores=scores)


def last_checkpoint(folder):
    """The last one that is whole: a kill may have come before its last file was written."""
    whole = [file.parent for file in folder.glob("checkpoint-*/trainer_state.json")]
    return max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def train(trial):
    set_seed(trial.seed)
    trainer = Trainer(
        model=AlignedPair(trial.strength),
        args=TrainingArguments(
            output_dir=trial.folder,
            seed=trial.seed,
            learning_rate=trial.hyperparameters["learning_rate"],
            num_train_epochs=trial.options["epochs"],
            per_device_train_batch_size=32,
            per_device_eval_batch_size=600,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=2,
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=trial.device == "cpu",
        ),
        train_dataset=Digits("train"),
        eval_dataset=Digits("valid"),
        compute_metrics=accuracies,
        callbacks=[Report(trial)],
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(trial.folder))
    return accuracies(trainer.predict(Digits(trial.split)))
