ALTER TABLE roomtrail.quarantine DROP COLUMN schema_version;
DROP TABLE roomtrail.audit_ledger;
