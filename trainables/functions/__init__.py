"""The trainer that calls a function of the user's own, once for each replicate."""
