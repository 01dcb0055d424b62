-- The time that the books write down: now, unless whoever brings in a history says in their transaction when it was.
-- The API's role cannot: what people do happens when they do it.
CREATE FUNCTION book_time() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN current_user = 'shelfpulse_api' THEN now()
                ELSE coalesce(nullif(current_setting('app.book_time', true), '')::timestamptz, now()) END
$$;

ALTER TABLE sales_order ALTER COLUMN created_at SET DEFAULT book_time(), ALTER COLUMN updated_at SET DEFAULT book_time();
ALTER TABLE order_event ALTER COLUMN at SET DEFAULT book_time();
ALTER TABLE order_return ALTER COLUMN created_at SET DEFAULT book_time(), ALTER COLUMN updated_at SET DEFAULT book_time();
ALTER TABLE ar_entry ALTER COLUMN at SET DEFAULT book_time();
ALTER TABLE shipment ALTER COLUMN dispatched_at SET DEFAULT book_time();
ALTER TABLE stock_move ALTER COLUMN posted_at SET DEFAULT book_time();
ALTER TABLE stock_count ALTER COLUMN created_at SET DEFAULT book_time();
ALTER TABLE reservation ALTER COLUMN created_at SET DEFAULT book_time();
ALTER TABLE refill_task ALTER COLUMN created_at SET DEFAULT book_time();
ALTER TABLE proposal ALTER COLUMN created_at SET DEFAULT book_time(), ALTER COLUMN updated_at SET DEFAULT book_time();
