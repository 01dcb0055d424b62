-- Units that somebody asked another place for: sent and received in parts, the rest waits or is given up.
-- Owned by platform_api/stock. On the way: sent - received - missing; waiting: units - sent - given_up.
CREATE TABLE transfer_request (
    tenant_id    text NOT NULL REFERENCES tenant,
    transfer_id  uuid NOT NULL,
    origin       text NOT NULL,
    destination  text NOT NULL,
    state        text NOT NULL DEFAULT 'requested'
                     CHECK (state IN ('requested', 'part_sent', 'sent', 'received', 'cancelled')),
    reference    text NOT NULL DEFAULT '',
    reason       text NOT NULL DEFAULT '',
    created_by   uuid,
    created_at   timestamptz NOT NULL DEFAULT book_time(),
    updated_at   timestamptz NOT NULL DEFAULT book_time(),
    version      integer NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, transfer_id),
    FOREIGN KEY (tenant_id, origin) REFERENCES location,
    FOREIGN KEY (tenant_id, destination) REFERENCES location,
    CHECK (origin <> destination)
);
CREATE TABLE transfer_request_line (
    tenant_id    text NOT NULL,
    transfer_id  uuid NOT NULL,
    sku          text NOT NULL,
    units        integer NOT NULL CHECK (units > 0),
    sent         integer NOT NULL DEFAULT 0 CHECK (sent >= 0),
    received     integer NOT NULL DEFAULT 0 CHECK (received >= 0),
    missing      integer NOT NULL DEFAULT 0 CHECK (missing >= 0),
    given_up     integer NOT NULL DEFAULT 0 CHECK (given_up >= 0),
    PRIMARY KEY (tenant_id, transfer_id, sku),
    FOREIGN KEY (tenant_id, transfer_id) REFERENCES transfer_request,
    FOREIGN KEY (tenant_id, sku) REFERENCES sku,
    CHECK (sent + given_up <= units AND received + missing <= sent)
);
