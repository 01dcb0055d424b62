-- What retention needs: how far the ledger is merged, and a way to find rows of the ledger by when they were committed.
ALTER TABLE storage_state ADD COLUMN ledger_merged_to timestamptz;
CREATE INDEX ingest_batch_committed ON ingest_batch USING brin (committed_at) WITH (pages_per_range = 32, autosummarize = on);
