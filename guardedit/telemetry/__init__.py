"""What the outside sees of a running agent: the metrics page and the log lines."""
