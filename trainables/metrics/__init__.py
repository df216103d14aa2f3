"""Measures of what was trained: scores of outputs, similarities of representations."""
