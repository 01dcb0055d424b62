-- Stock: a double-entry ledger of units and their value, its projection, reservations, lots, counts, periods, and cases
-- in which what was observed and what is booked differ. Owned by platform_api/stock.

-- Where units can be. Physical places (warehouse, store, shelf, transit) hold stock; the others are where units come
-- from and go to. A shelf is a child of its store. Ids: the site's, '<site>.shelf', and '.<kind>' for those of the tenant.
CREATE TABLE location (
    tenant_id    text NOT NULL REFERENCES tenant,
    location_id  text NOT NULL,
    kind         text NOT NULL CHECK (kind IN
                     ('supplier', 'warehouse', 'store', 'shelf', 'transit', 'customer', 'loss', 'adjust')),
    site_id      text,
    parent_id    text,
    name         text NOT NULL,
    PRIMARY KEY (tenant_id, location_id),
    FOREIGN KEY (tenant_id, site_id) REFERENCES site ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, parent_id) REFERENCES location ON DELETE CASCADE
);
CREATE INDEX location_site ON location (tenant_id, site_id);

CREATE FUNCTION add_tenant_locations() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO location (tenant_id, location_id, kind, name)
    SELECT NEW.tenant_id, '.' || kind, kind, kind
    FROM unnest('{supplier,transit,customer,loss,adjust}'::text[]) AS kind
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE FUNCTION add_site_locations() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO location (tenant_id, location_id, kind, site_id, name)
    VALUES (NEW.tenant_id, NEW.site_id, NEW.kind, NEW.site_id, NEW.name) ON CONFLICT DO NOTHING;
    INSERT INTO location (tenant_id, location_id, kind, site_id, parent_id, name)
    SELECT NEW.tenant_id, NEW.site_id || '.shelf', 'shelf', NEW.site_id, NEW.site_id, NEW.name WHERE NEW.kind = 'store'
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER locations AFTER INSERT ON tenant FOR EACH ROW EXECUTE FUNCTION add_tenant_locations();
CREATE TRIGGER locations AFTER INSERT ON site FOR EACH ROW EXECUTE FUNCTION add_site_locations();
INSERT INTO location (tenant_id, location_id, kind, name)
SELECT tenant_id, '.' || kind, kind, kind
FROM tenant, unnest('{supplier,transit,customer,loss,adjust}'::text[]) AS kind;
INSERT INTO location (tenant_id, location_id, kind, site_id, name)
SELECT tenant_id, site_id, kind, site_id, name FROM site;
INSERT INTO location (tenant_id, location_id, kind, site_id, parent_id, name)
SELECT tenant_id, site_id || '.shelf', 'shelf', site_id, site_id, name FROM site WHERE kind = 'store';

CREATE TABLE lot (
    tenant_id   text NOT NULL,
    lot_id      uuid NOT NULL,
    sku         text NOT NULL,
    code        text NOT NULL,
    expires_on  date,
    PRIMARY KEY (tenant_id, lot_id),
    UNIQUE (tenant_id, sku, code),
    FOREIGN KEY (tenant_id, sku) REFERENCES sku
);

-- happened_at is when units moved, booked_at the time under which periods count it (later when its own is closed).
-- (source, source_event_id) makes a move happen once, however often it is told.
CREATE TABLE stock_move (
    tenant_id        text NOT NULL,
    move_id          uuid NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('opening', 'receipt', 'issue', 'return', 'transfer', 'sale', 'put_back',
                                                   'restock', 'remove', 'adjust', 'count', 'reconcile', 'loss')),
    happened_at      timestamptz NOT NULL,
    booked_at        timestamptz NOT NULL,
    posted_at        timestamptz NOT NULL DEFAULT now(),
    source           text NOT NULL,
    source_event_id  text NOT NULL,
    reason           text NOT NULL DEFAULT '',
    reference        text NOT NULL DEFAULT '',
    user_id          uuid,
    PRIMARY KEY (tenant_id, move_id),
    UNIQUE (tenant_id, source, source_event_id)
);
CREATE INDEX stock_move_reference ON stock_move (tenant_id, reference) WHERE reference <> '';

-- Units and value that a place gains (or loses). Each move sums to 0 units a SKU, and to no value.
CREATE TABLE stock_entry (
    tenant_id    text NOT NULL,
    move_id      uuid NOT NULL,
    entry_no     integer NOT NULL,
    location_id  text NOT NULL,
    sku          text NOT NULL,
    lot_id       uuid,
    units        integer NOT NULL CHECK (units <> 0),
    value_minor  bigint NOT NULL,
    happened_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, move_id, entry_no),
    FOREIGN KEY (tenant_id, move_id) REFERENCES stock_move,
    FOREIGN KEY (tenant_id, location_id) REFERENCES location,
    FOREIGN KEY (tenant_id, sku) REFERENCES sku
);
CREATE INDEX stock_entry_place ON stock_entry (tenant_id, location_id, sku, happened_at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON stock_move FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON stock_entry FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE FUNCTION check_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM stock_entry WHERE tenant_id = NEW.tenant_id AND move_id = NEW.move_id
        GROUP BY sku HAVING sum(units) <> 0 OR sum(value_minor) <> 0
    ) THEN
        RAISE EXCEPTION 'stock move % does not balance', NEW.move_id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END
$$;
-- Asked once a move, by its first entry, when the transaction ends.
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON stock_entry DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.entry_no = 1) EXECUTE FUNCTION check_balanced();

-- What each physical place holds: a projection of the ledger, kept in the transaction of each move. Rows are locked in
-- the order of their key. unbounded: what a shelf observes is believed even where the books say that nothing is left.
CREATE TABLE stock_balance (
    tenant_id    text NOT NULL,
    location_id  text NOT NULL,
    sku          text NOT NULL,
    on_hand      integer NOT NULL DEFAULT 0,
    reserved     integer NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    value_minor  bigint NOT NULL DEFAULT 0,
    unbounded    boolean NOT NULL DEFAULT false,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, location_id, sku),
    FOREIGN KEY (tenant_id, location_id) REFERENCES location,
    FOREIGN KEY (tenant_id, sku) REFERENCES sku,
    CONSTRAINT never_oversold CHECK (unbounded OR on_hand >= reserved)
) WITH (fillfactor = 50);

-- Which lots lie there; units of a balance beyond its lots have none.
CREATE TABLE stock_lot (
    tenant_id    text NOT NULL,
    location_id  text NOT NULL,
    sku          text NOT NULL,
    lot_id       uuid NOT NULL,
    units        integer NOT NULL CHECK (units >= 0),
    PRIMARY KEY (tenant_id, location_id, sku, lot_id),
    FOREIGN KEY (tenant_id, lot_id) REFERENCES lot
) WITH (fillfactor = 50);

CREATE TABLE reservation (
    tenant_id       text NOT NULL,
    reservation_id  uuid NOT NULL,
    location_id     text NOT NULL,
    sku             text NOT NULL,
    units           integer NOT NULL CHECK (units > 0),
    reference       text NOT NULL,
    state           text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'consumed', 'released', 'expired')),
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz,
    PRIMARY KEY (tenant_id, reservation_id)
);
CREATE INDEX reservation_reference ON reservation (tenant_id, reference) WHERE state = 'held';
CREATE INDEX reservation_expiry ON reservation (expires_at) WHERE state = 'held' AND expires_at IS NOT NULL;

CREATE TABLE due_receipt (
    tenant_id    text NOT NULL,
    due_id       uuid NOT NULL,
    location_id  text NOT NULL,
    sku          text NOT NULL,
    units        integer NOT NULL CHECK (units > 0),
    due_at       timestamptz NOT NULL,
    reference    text NOT NULL DEFAULT '',
    state        text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'received', 'cancelled')),
    PRIMARY KEY (tenant_id, due_id),
    FOREIGN KEY (tenant_id, location_id) REFERENCES location,
    FOREIGN KEY (tenant_id, sku) REFERENCES sku
);
CREATE INDEX due_receipt_open ON due_receipt (tenant_id, location_id, sku) WHERE state = 'open';

CREATE TABLE stock_period (
    tenant_id  text NOT NULL REFERENCES tenant,
    month      date NOT NULL CHECK (date_trunc('month', month) = month),
    closed_at  timestamptz NOT NULL DEFAULT now(),
    closed_by  uuid,
    PRIMARY KEY (tenant_id, month)
);

-- A count of a place. Whoever counts is not told what is booked; the difference is taken as of counted_at.
CREATE TABLE stock_count (
    tenant_id    text NOT NULL,
    count_id     uuid NOT NULL,
    location_id  text NOT NULL,
    state        text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'submitted', 'posted', 'cancelled')),
    reason       text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   uuid,
    counted_at   timestamptz,
    counted_by   uuid,
    posted_at    timestamptz,
    posted_by    uuid,
    version      integer NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, count_id),
    FOREIGN KEY (tenant_id, location_id) REFERENCES location
);
CREATE TABLE stock_count_line (
    tenant_id  text NOT NULL,
    count_id   uuid NOT NULL,
    sku        text NOT NULL,
    counted    integer CHECK (counted >= 0),
    reason     text NOT NULL DEFAULT '',
    booked     integer,
    PRIMARY KEY (tenant_id, count_id, sku),
    FOREIGN KEY (tenant_id, count_id) REFERENCES stock_count,
    FOREIGN KEY (tenant_id, sku) REFERENCES sku
);

-- Whose word on what left a shelf is booked; the others only check it. Without a row: telemetry.
CREATE TABLE depletion_source (
    tenant_id  text NOT NULL,
    site_id    text NOT NULL,
    sku        text NOT NULL,
    source     text NOT NULL CHECK (source IN ('pos', 'telemetry', 'orders')),
    PRIMARY KEY (tenant_id, site_id, sku),
    FOREIGN KEY (tenant_id, site_id) REFERENCES site,
    FOREIGN KEY (tenant_id, sku) REFERENCES sku
);

CREATE TABLE recon_case (
    tenant_id    text NOT NULL,
    case_id      uuid NOT NULL,
    location_id  text NOT NULL,
    sku          text NOT NULL,
    state        text NOT NULL DEFAULT 'watched' CHECK (state IN ('watched', 'posted', 'count_asked', 'gone')),
    observed     integer NOT NULL,
    booked       integer NOT NULL,
    as_of        timestamptz NOT NULL,
    windows      integer NOT NULL DEFAULT 1,
    opened_at    timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    count_id     uuid,
    PRIMARY KEY (tenant_id, case_id),
    FOREIGN KEY (tenant_id, location_id) REFERENCES location
);
CREATE UNIQUE INDEX recon_case_live ON recon_case (tenant_id, location_id, sku) WHERE state IN ('watched', 'count_asked');

-- Events of shelves that wait to be booked. The stream writes events and knows nothing of this; the worker takes rows
-- and posts moves, so that a locked balance or a closed period never stalls ingest.
CREATE TABLE stock_inbox (
    tenant_id   text NOT NULL,
    gateway_id  text NOT NULL,
    event_id    text NOT NULL,
    error       text NOT NULL DEFAULT '',
    retry_at    timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (tenant_id, gateway_id, event_id)
);
CREATE INDEX stock_inbox_due ON stock_inbox (retry_at);
CREATE FUNCTION remember_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stock_inbox (tenant_id, gateway_id, event_id)
    SELECT tenant_id, gateway_id, event_id FROM made ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER to_be_booked AFTER INSERT ON shelf_event REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION remember_events();

-- Slots whose first count is booked: what lay there before the ledger heard of it. Events before that one are in it.
CREATE TABLE stock_opening (
    tenant_id   text NOT NULL,
    gateway_id  text NOT NULL,
    slot_id     text NOT NULL,
    sku         text NOT NULL,
    lane_seq    bigint NOT NULL,
    opened_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, gateway_id, slot_id, sku)
);

REVOKE UPDATE, DELETE ON stock_move, stock_entry FROM shelfpulse_api;
REVOKE INSERT, UPDATE, DELETE ON stock_inbox, stock_opening FROM shelfpulse_api;
