"""The command line: options in, calls of the package, printed results out. One file a command or group."""
