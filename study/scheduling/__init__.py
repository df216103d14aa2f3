"""Which pack is next and how large, what is ahead, and how long it takes."""
