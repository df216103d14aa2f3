"""Encoders of one modality, with the replica axis."""
