"""The judge of scope: a small trained cross-encoder that reads a question beside a fact."""
