-- metric-index: schema version 1 of the catalogue. sqlite3 <app.data_dir>/catalog.db < this file
BEGIN IMMEDIATE;
CREATE TABLE schema_version (
  version INTEGER NOT NULL,
  catalog_uuid TEXT NOT NULL,
  secret_check TEXT NOT NULL            -- 16 hex digits
);
CREATE TABLE metric_basic_label (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  env TEXT NOT NULL,
  service TEXT NOT NULL,
  __name__ TEXT NOT NULL,
  hash BLOB NOT NULL UNIQUE
);
CREATE TABLE metric (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- an id that was given is never given again
  metric_basic_label_id INTEGER NOT NULL,
  fingerprint BLOB NOT NULL UNIQUE,     -- before the long column: reading it need not pass over the content
  metric TEXT NOT NULL
);
CREATE TABLE metric_seen (
  metric_id INTEGER PRIMARY KEY,
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL
);
CREATE TABLE metric_label_name (id INTEGER PRIMARY KEY, name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE);
CREATE TABLE metric_label_value (id INTEGER PRIMARY KEY, value TEXT NOT NULL, hash BLOB NOT NULL UNIQUE);
CREATE TABLE metric_label (
  metric_label_name_id INTEGER NOT NULL,
  metric_label_value_id INTEGER NOT NULL,
  metric_id INTEGER NOT NULL,
  PRIMARY KEY (metric_label_name_id, metric_label_value_id, metric_id)
) WITHOUT ROWID;
CREATE TABLE metric_metadata (
  tenant TEXT NOT NULL,
  metric_family TEXT NOT NULL,
  type TEXT NOT NULL,
  help TEXT NOT NULL,
  unit TEXT NOT NULL,
  last_seen INTEGER NOT NULL,
  PRIMARY KEY (tenant, metric_family)
);
CREATE TABLE stream_position (
  stream TEXT NOT NULL,
  partition_id INTEGER NOT NULL,
  next_offset INTEGER NOT NULL,
  PRIMARY KEY (stream, partition_id)
) WITHOUT ROWID;

CREATE VIEW v_series AS
SELECT m.id AS id, b.tenant AS tenant, b.env AS env, b.service AS service, b.__name__ AS name, m.metric AS content,
       lower(hex(m.fingerprint)) AS fingerprint, s.first_seen AS first_seen, s.last_seen AS last_seen,
       strftime('%Y-%m-%dT%H:%M:%SZ', s.first_seen / 1000, 'unixepoch') AS first_seen_utc,
       strftime('%Y-%m-%dT%H:%M:%SZ', s.last_seen / 1000, 'unixepoch') AS last_seen_utc
FROM metric m
JOIN metric_basic_label b ON b.id = m.metric_basic_label_id
JOIN metric_seen s ON s.metric_id = m.id;

CREATE VIEW v_series_label AS
SELECT l.metric_id AS metric_id, n.name AS name, v.value AS value
FROM metric_label l
JOIN metric_label_name n ON n.id = l.metric_label_name_id
JOIN metric_label_value v ON v.id = l.metric_label_value_id;

INSERT INTO schema_version (version, catalog_uuid, secret_check)
SELECT 1, uuid, '43fb0e1097670711' FROM (SELECT substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-4' || substr(h, 14, 3) || '-a' || substr(h, 18, 3) || '-' || substr(h, 21) AS uuid FROM (SELECT lower(hex(randomblob(16))) AS h));
COMMIT;

-- A series that version 1 wrote, without identity.secret.
INSERT INTO metric_basic_label (id, tenant, env, service, __name__, hash) VALUES (1, '', '', '', 'up', x'94148b87ede4aeb9cbd34c1256c95ee8');
INSERT INTO metric_label_name (id, name, hash) VALUES (1, 'job', x'5e8c9902207afaeb7120430c585a445f');
INSERT INTO metric_label_value (id, value, hash) VALUES (1, 'api', x'14c2529eb4498c5d1ffd6915d05bf58a');
INSERT INTO metric (id, metric_basic_label_id, fingerprint, metric) VALUES (1, 1, x'49b159f4de24987febf30f0030a889e9', 'up{job="api"}');
INSERT INTO metric_label (metric_label_name_id, metric_label_value_id, metric_id) VALUES (1, 1, 1);
INSERT INTO metric_seen (metric_id, first_seen, last_seen) VALUES (1, 1000, 2000);
