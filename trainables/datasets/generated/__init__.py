"""Generated data, some with known profiles."""
