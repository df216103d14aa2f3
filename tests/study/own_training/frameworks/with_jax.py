"""Own training in JAX: a pair of perceptrons, and an optimiser written out."""

import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from digit_halves import PAIR, halves


def start(seed, width=32):
    """Weights of both encoders and heads, and of each the velocity."""
    keys = iter(jax.random.split(jax.random.key(seed), 2 * len(PAIR)))
    weights = {
        name: {
            "body": jax.random.normal(next(keys), (32, width)) / np.sqrt(32),
            "head": jax.random.normal(next(keys), (width, 10)) / np.sqrt(width),
        }
        for name in PAIR
    }
    return weights, jax.tree.map(jnp.zeros_like, weights)


def cross_entropy(logits, labels):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1).mean()


def encoded(weights, view):
    return jax.nn.relu(view.reshape(len(view), -1) @ weights["body"])


def loss(weights, strength, views, labels):
    first, second = (encoded(weights[name], view) for name, view in zip(PAIR, views, strict=True))
    task = sum(cross_entropy(x @ weights[name]["head"], labels) for name, x in zip(PAIR, (first, second), strict=True))
    first, second = (x / (jnp.linalg.norm(x, axis=1, keepdims=True) + 1e-6) for x in (first, second))
    similarity, target = first @ second.T / 0.1, jnp.arange(len(labels))
    return task + strength * (cross_entropy(similarity, target) + cross_entropy(similarity.T, target)) / 2


@jax.jit  # λ is an argument like the data, so that nothing is compiled again for another one
def step(state, strength, learning_rate, views, labels):
    weights, velocity = state
    gradient = jax.grad(loss)(weights, strength, views, labels)
    velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, gradient)
    return jax.tree.map(lambda w, v: w - learning_rate * v, weights, velocity), velocity


def train(trial):
    saved, epochs = trial.folder / "state.pkl", trial.options["epochs"]
    first, state = 0, start(trial.seed)
    if saved.exists():  # what a killed worker left
        first, state = pickle.loads(saved.read_bytes())
    *views, labels = halves()["train"]
    update = partial(step, strength=trial.strength, learning_rate=trial.hyperparameters["learning_rate"])
    for epoch in range(first, epochs):
        order = np.random.default_rng([trial.seed, epoch]).permutation(len(labels))
        for batch in np.split(order, 6):
            state = update(state, views=[view[batch] for view in views], labels=labels[batch])
        trial.report(epoch + 1, of=epochs, scores=scores(state[0], "valid"))
        (trial.folder / "new.pkl").write_bytes(pickle.dumps((epoch + 1, jax.device_get(state))))
        (trial.folder / "new.pkl").replace(saved)  # whole or not at all
    return scores(state[0], trial.split)


def scores(weights, split):
    *views, labels = halves()[split]
    logits = {
        name: encoded(weights[name], view) @ weights[name]["head"] for name, view in zip(PAIR, views, strict=True)
    }
    return {name: float((one.argmax(axis=1) == labels).mean()) for name, one in logits.items()}
