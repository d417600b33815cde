"""Builds, shows and checks the probe set of a model: general texts, and questions that it answers stably."""
