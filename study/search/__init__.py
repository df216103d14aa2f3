"""Strengths asked from and told to Optuna: the record of a study, and what to try next."""

from study.search.ledger import Ledger, open_storage
from study.search.samplers import PosteriorSampler

__all__ = ["Ledger", "PosteriorSampler", "open_storage"]
