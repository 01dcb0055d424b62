-- Until when an endpoint that fails is asked nothing, whatever waits for it. Owned by platform_api/webhooks.
ALTER TABLE webhook ADD COLUMN rests_until timestamptz;
