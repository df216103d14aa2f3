"""What outlives a training: checkpoints, where they lie, and encoders as files."""
