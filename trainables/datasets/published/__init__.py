"""Published data and packaged ones, in the layout that they come in."""
