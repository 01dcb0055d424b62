-- Outages that are open, however many anomalies there ever were: processes of the stream look for each other's.
CREATE INDEX anomaly_outage ON anomaly (anomaly_id) WHERE end_at IS NULL AND kind IN ('stuck_sensor', 'dropout', 'device_fault');
