"""The sources of corrections. They deliver bytes with positions and do not look at the content."""
