"""Packs: the replicates of a pair, trained in lockstep."""
