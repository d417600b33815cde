"""Measures how fast applications are answered, and whether epochs that change meanwhile can be told apart."""
