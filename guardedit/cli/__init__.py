"""The command line: reads options, calls the package, prints results. One file per command or group."""
