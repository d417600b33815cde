"""The commands of `guardedit memory`."""
