"""The policy: its YAML format, its checks, and the decision that it makes about a correction."""
