"""Strengths asked from and told to Optuna: the record of a study, and what to try next."""

from study.search.ledger import Ledger, close_storage, open_storage
from study.search.samplers import PosteriorSampler

__all__ = ["Ledger", "PosteriorSampler", "close_storage", "open_storage"]
