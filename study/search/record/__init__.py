"""The record of a study in Optuna's storage: the only truth, written by one process."""
