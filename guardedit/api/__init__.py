"""The Python API. Import it as `guardedit`: the names of this package are in its `__all__`."""
