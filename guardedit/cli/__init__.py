"""The commands. Each file is one noun; what is heavy is imported by the command that needs it."""
