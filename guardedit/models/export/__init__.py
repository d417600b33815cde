"""Writes an edited model for other programs: a model folder, or a low-rank adapter of the base model."""
