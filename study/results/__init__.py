"""What a study comes to: built from its record alone, read, written, drawn and told."""
