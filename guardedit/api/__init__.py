"""Implements the Python API. Import `guardedit` instead, whose `__all__` lists the public names."""
