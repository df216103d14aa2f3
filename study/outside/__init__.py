"""Trainings that somebody else has run: their tables and stores read, and what they say of λ*."""
