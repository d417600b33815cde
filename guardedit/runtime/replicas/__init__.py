"""Servers that answer from Ray actors."""
