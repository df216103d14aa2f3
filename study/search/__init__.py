"""Strengths asked from and told to Optuna: the record of a study, and what to try next."""

from study.search.record.ledger import Ledger
from study.search.record.opening import close_storage, open_storage
from study.search.record.reading import StudyRecord, read_notes, read_studies

__all__ = ["Ledger", "StudyRecord", "close_storage", "open_storage", "read_notes", "read_studies"]
