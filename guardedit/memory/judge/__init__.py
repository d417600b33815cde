"""The judge of scope: a small cross-encoder that reads a question beside a fact."""
