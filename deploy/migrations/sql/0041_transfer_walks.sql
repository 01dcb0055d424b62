-- The newest transfers from and to each of one's places.
CREATE INDEX transfer_request_from ON transfer_request (tenant_id, origin, transfer_id DESC);
CREATE INDEX transfer_request_to ON transfer_request (tenant_id, destination, transfer_id DESC);
