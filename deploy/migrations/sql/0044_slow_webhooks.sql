-- An endpoint that takes what it is told, but takes long: it is asked apart from those that are quick.
-- Owned by platform_api/webhooks.
ALTER TABLE webhook ADD COLUMN slow boolean NOT NULL DEFAULT false;
GRANT SELECT (slow) ON webhook TO shelfpulse_api;
