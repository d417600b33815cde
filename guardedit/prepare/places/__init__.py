"""Finds the layers and settings for edits of a model within a time budget."""
