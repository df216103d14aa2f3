"""Ray: packs on one machine or many, and jobs; the only package of `study` that imports it."""
