"""Continual knowledge editing for language models, with guardrails."""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["__version__"]
