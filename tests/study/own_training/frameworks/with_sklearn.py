"""Own training without any network: canonical correlations and ridge regression of scikit-learn.

Both halves are read off their canonical variates, which they share, and their principal components. λ scales the
variates, so that a penalty of the same size lets a stronger λ lean on what both share. A bag of such models votes.
"""

import joblib
import numpy as np
from digit_halves import PAIR, halves
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge


def votes_of_one(random, strength, alpha, split):
    """What models of one bootstrap sample say of each row of `split`, by half: (rows, digits)."""
    data = {
        name: ([half.reshape(len(half), -1) for half in views], labels) for name, (*views, labels) in halves().items()
    }
    views, labels = data["train"]
    rows = random.integers(len(labels), size=len(labels))
    shared = CCA(n_components=6).fit(views[0][rows], views[1][rows])
    own = [PCA(n_components=12, whiten=True, random_state=0).fit(view[rows]) for view in views]

    def features(views):
        variates = shared.transform(*views)
        return [np.hstack([pca.transform(x), strength * v]) for pca, x, v in zip(own, views, variates, strict=True)]

    fitted = [Ridge(alpha=alpha).fit(x, np.eye(10)[labels[rows]]) for x in features([view[rows] for view in views])]
    return {
        split: [ridge.predict(x) for ridge, x in zip(fitted, features(data[split][0]), strict=True)]
        for split in {"valid", split}
    }


def train(trial):
    saved, members = trial.folder / "votes.joblib", trial.options["members"]
    votes = joblib.load(saved) if saved.exists() else []  # what a killed worker left
    for member in range(len(votes), members):
        random = np.random.default_rng([trial.seed, member])  # a member depends on none before it
        votes.append(votes_of_one(random, trial.strength, trial.hyperparameters["alpha"], trial.split))
        trial.report(member + 1, of=members, scores=scores(votes, "valid"))
        joblib.dump(votes, trial.folder / "new.joblib")
        (trial.folder / "new.joblib").replace(saved)  # whole or not at all
    return scores(votes, trial.split)


def scores(votes, split):
    labels = halves()[split][-1]
    said = [np.mean([one[split][half] for one in votes], axis=0).argmax(axis=1) for half in range(2)]
    return {name: float((one == labels).mean()) for name, one in zip(PAIR, said, strict=True)}
