"""Where corrections come from. Sources deliver bytes with positions and do not look at their content."""
