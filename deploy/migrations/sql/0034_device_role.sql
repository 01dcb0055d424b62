-- Devices that speak HTTP (tills, handhelds) are principals of their own: API keys act for them, nobody logs in as one.
ALTER TABLE app_user DROP CONSTRAINT app_user_role_check;
ALTER TABLE app_user ADD CONSTRAINT app_user_role_check
    CHECK (role IN ('hq', 'dealer', 'rep', 'store', 'ops', 'auditor', 'device'));
ALTER TABLE app_user ADD CONSTRAINT app_user_device_password CHECK (role <> 'device' OR password_hash IS NULL);
