"""Readers of array files, tables and pickles, which trust none of them."""
