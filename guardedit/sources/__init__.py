"""Where corrections come from. Knows bytes and positions, never what a correction says."""
