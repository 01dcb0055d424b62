-- What was weighed when a proposal was fulfilled, and the least that is ordered at once. Owned by
-- platform_api/replenishment.
ALTER TABLE proposal_flow ADD COLUMN considered jsonb NOT NULL DEFAULT '[]';
ALTER TABLE stock_policy ADD COLUMN min_order integer NOT NULL DEFAULT 0 CHECK (min_order >= 0);
