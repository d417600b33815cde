"""Use several facts for one question: those that agree, and chains of two that answer it together."""
