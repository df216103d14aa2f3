"""What one trial does: data, encoders, objectives and the packed training loop (torch and numpy alone)."""
