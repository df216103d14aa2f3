"""Claims of the papers beside what studies measured."""
