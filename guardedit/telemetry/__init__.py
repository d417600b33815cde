"""What can be observed of a running agent: metrics, health and log lines."""
