"""Losses of packs and their gradients: alignment, tasks, fused InfoNCE."""
