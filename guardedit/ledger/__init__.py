"""The append-only record: events in a hash chain, tables that follow from them, and content-addressed blobs.

One class per level of permission, each in its own file and each extending the one before:

    live.py           LiveReader     what is live in an epoch: facts, weight edits, refs
    reading.py        LedgerReader   all other queries: history, inbox, events, counts, verify
    inbox_writer.py   InboxWriter    what any process may write beside a coordinator: messages, publishing
    epoch_writer.py   EpochWriter    what only a coordinator may write: new epochs
    sqlite_ledger.py  SqliteLedger   opens the ledger; the `Ledger` protocol of `guardedit.core`

Every write works the same way: in one transaction, a typed event (events/kinds.py, events/records.py) is
appended to the chain (storage/chain.py), and events/projection.py writes the table rows that follow from it.
Queries of state read the tables only. `State` (state.py) is what is live in one epoch; next_epoch.py computes
the state of the next one.

Outside this package use `SqliteLedger.open`, `opening.read_only` and the `Ledger` protocol.
"""
