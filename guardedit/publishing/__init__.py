"""Brings each epoch to where other programs load it: directories, object stores, fleets of vLLM.

bundle.py        what is published of one epoch: files and a manifest with their digests
making.py        makes bundles from the ledger, and keeps them
destination.py   the protocol of a destination
directory.py, objects.py, fleet.py   the three kinds
steps.py         pure: from what is known of a destination to the next step
publisher.py     carries the steps out and records each one in the ledger
opening.py       opens all of it, and follows the ledger
"""
