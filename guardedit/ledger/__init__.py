"""The append-only record: events in a hash chain, tables that follow from them, and content-addressed blobs.

One class per level of permission, each in its own file and each extending the one before:

    live.py           LiveReader     what is live in an epoch: facts, weight edits, refs
    reading.py        LedgerReader   all other queries: history, inbox, events, counts, verify
    inbox_writer.py   InboxWriter    what any process may write beside a coordinator: messages, releases
    epoch_writer.py   EpochWriter    what only a coordinator may write: new epochs
    sqlite_ledger.py  SqliteLedger   opens the ledger; the `Ledger` protocol of `guardedit.core`

Every write goes the same way: a typed event (events.py, records.py) is appended to the chain
(storage/chain.py), and projection.py writes the table rows that follow from it, in one transaction. Queries
read the tables only. `State` (state.py) is what is live in one epoch; next_epoch.py computes the state
after it.

Outside this package use `SqliteLedger.open`, `opening.read_only` and the `Ledger` protocol.
"""
