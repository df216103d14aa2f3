"""Which trials to run and what they tell us about the alignment strength."""
