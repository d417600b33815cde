"""The ledger's files: the SQLite database, its hash chain, `ledger.head`, the blobs and the locks."""
