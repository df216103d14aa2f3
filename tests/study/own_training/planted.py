"""Functions that the tests give to studies: their curves are known, and what they did is written down."""

import json
import os
import random
import time
from pathlib import Path


def peak(strength, at):
    return 0.8 - 0.06 * (strength - at) ** 2


def noise(trial, name):
    """By seed alone for the most part, as with common random numbers."""
    own = random.Random(f"{trial.seed} {trial.strength} {name}").gauss(0, 0.004)
    return random.Random(f"{trial.seed} {name}").gauss(0, 0.02) + own


def train(trial):
    """λ* of the image is 1.5, that of the text 0.5."""
    image = peak(trial.strength, 1.5) + noise(trial, "image")
    text = peak(trial.strength, 0.5) + noise(trial, "text")
    for epoch in range(6):
        trial.report(epoch + 1, of=6, scores={"image": image * (epoch + 1) / 6, "text": text})
    return {"image": image, "text": text, "cka": trial.strength / 4, "recall@1": image / 2}


def loss(trial):
    """One score for both, of which less is better: λ* is 1."""
    return {"score": 1 - peak(trial.strength, 1.0) - noise(trial, "both")}


def many(trial):
    """Encoders of many pairs, each with an optimum of its own."""
    return {name: peak(trial.strength, trial.options["optima"][name]) + noise(trial, name) for name in trial.pair}


def tuned(trial):
    """What a good choice of hyperparameters adds is more than any strength does."""
    bonus = 0.2 * (trial.hyperparameters["kind"] == "good") * (trial.hyperparameters["warm_up"] is True)
    return {"score": peak(trial.strength, 1.0) + bonus + noise(trial, "both")}


def slowly(trial):
    """Epochs of a tenth of a second that are saved one by one; every epoch trained is noted in `options["log"]`."""
    saved = trial.folder / "epoch.json"
    state = json.loads(saved.read_text()) if saved.exists() else {"epoch": 0, "seed": trial.seed, "at": trial.strength}
    assert (state["seed"], state["at"]) == (trial.seed, trial.strength), "the folder of another trial"
    for epoch in range(state["epoch"], trial.options["epochs"]):
        time.sleep(0.1)
        with Path(trial.options["log"]).open("a") as log:
            log.write(f"{trial.folder.parent.name} {epoch} {os.getpid()}\n")
        (trial.folder / "new.json").write_text(json.dumps({**state, "epoch": epoch + 1}))
        (trial.folder / "new.json").replace(saved)
        trial.report(epoch + 1, of=trial.options["epochs"])
    return {"score": peak(trial.strength, 1.0) + noise(trial, "both")}


def nothing(trial):
    """A function that forgot to return."""


def misnamed(_):
    return {"imgae": 1.0, "text": 1.0}


def breaks(trial):
    return helper(trial)


def helper(_):
    raise ValueError("no such layer")


def diverges(trial):
    return {"score": float("nan") if trial.strength > 3 else peak(trial.strength, 1.0) + noise(trial, "both")}


def hangs(trial):
    while trial.strength > 3:
        time.sleep(1)
    return {"score": peak(trial.strength, 1.0) + noise(trial, "both")}


class Doubling:
    """A model of no library."""

    def __init__(self, strength):
        self.strength = strength

    def predict(self, rows):
        return [2 * row for row in rows]


def keeps(trial):
    from sklearn.linear_model import LinearRegression

    trial.keep("image", LinearRegression().fit([[0.0], [1.0]], [0.0, 3.0]))
    trial.keep("text", Doubling(trial.strengths["text"]))
    score = peak(trial.strength, 1.0) + noise(trial, "both")
    return {"image": score, "text": score + noise(trial, "text") / 10}


def keeps_one(trial):
    trial.keep("image", [1, 2])
    return train(trial)


def dies(_):
    import os

    os._exit(1)


def faint(trial):
    """A gain of one hundredth at 1, beside luck of about as much: a few seeds cannot tell."""
    own = random.Random(f"{trial.seed} {trial.strength} faint").gauss(0, 0.006)
    return {"score": peak(trial.strength, 1.0) / 6 + random.Random(str(trial.seed)).gauss(0, 0.02) + own}
