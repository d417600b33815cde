"""The append-only truth: events with a hash chain, their tables, and content-addressed blobs beside them."""
