"""The cells of a study: a pair of modalities of one dataset under one PID profile."""
