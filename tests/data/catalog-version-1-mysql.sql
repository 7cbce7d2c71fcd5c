-- metric-index: schema version 1 of the catalogue. Run it as an administrator of the server; the service itself then needs no more than:
--   GRANT SELECT, INSERT, UPDATE ON `metric-index`.* TO 'metric-index'@'<host>';
CREATE DATABASE IF NOT EXISTS `metric-index` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
USE `metric-index`;
CREATE TABLE IF NOT EXISTS schema_version (
  version INT UNSIGNED NOT NULL,
  catalog_uuid CHAR(36) NOT NULL,
  secret_check CHAR(16) NOT NULL           -- hex digits
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS metric_basic_label (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, -- from metric_next_id
  tenant VARCHAR(150) NOT NULL,
  env MEDIUMTEXT NOT NULL,
  service MEDIUMTEXT NOT NULL,
  __name__ MEDIUMTEXT NOT NULL,
  hash BINARY(16) NOT NULL,
  UNIQUE KEY hash (hash)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS metric (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, -- from metric_next_id
  metric_basic_label_id BIGINT UNSIGNED NOT NULL,
  fingerprint BINARY(16) NOT NULL,
  metric MEDIUMTEXT NOT NULL,
  UNIQUE KEY fingerprint (fingerprint)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS metric_seen (
  metric_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  first_seen BIGINT NOT NULL,
  last_seen BIGINT NOT NULL,
  changed BIGINT UNSIGNED NOT NULL,        -- ms, by the server's clock, when this row was written
  KEY changed (changed)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS metric_label_name (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, -- from metric_next_id
  name MEDIUMTEXT NOT NULL,
  hash BINARY(16) NOT NULL,
  UNIQUE KEY hash (hash)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS metric_label_value (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, -- from metric_next_id
  value MEDIUMTEXT NOT NULL,
  hash BINARY(16) NOT NULL,
  UNIQUE KEY hash (hash)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS metric_label (
  metric_label_name_id BIGINT UNSIGNED NOT NULL,
  metric_label_value_id BIGINT UNSIGNED NOT NULL,
  metric_id BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (metric_label_name_id, metric_label_value_id, metric_id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS metric_metadata (
  tenant VARCHAR(150) NOT NULL,
  metric_family MEDIUMTEXT NOT NULL,
  type MEDIUMTEXT NOT NULL,
  help MEDIUMTEXT NOT NULL,
  unit MEDIUMTEXT NOT NULL,
  last_seen BIGINT NOT NULL,
  hash BINARY(16) NOT NULL PRIMARY KEY
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS stream_position (
  stream VARCHAR(255) NOT NULL,
  partition_id INT NOT NULL,
  next_offset BIGINT NOT NULL,
  hash BINARY(16) NOT NULL PRIMARY KEY
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS metric_next_id (
  name VARCHAR(64) NOT NULL PRIMARY KEY,   -- of the table
  next_id BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT INTO metric_next_id (name, next_id) VALUES
  ('metric', 1), ('metric_basic_label', 1), ('metric_label_name', 1), ('metric_label_value', 1)
ON DUPLICATE KEY UPDATE next_id = next_id;
CREATE OR REPLACE SQL SECURITY INVOKER VIEW v_series AS
SELECT m.id AS id, b.tenant AS tenant, b.env AS env, b.service AS service, b.__name__ AS name, m.metric AS content,
       LOWER(HEX(m.fingerprint)) AS fingerprint, s.first_seen AS first_seen, s.last_seen AS last_seen,
       DATE_FORMAT(TIMESTAMPADD(SECOND, s.first_seen DIV 1000, '1970-01-01'), '%Y-%m-%dT%H:%i:%sZ') AS first_seen_utc,
       DATE_FORMAT(TIMESTAMPADD(SECOND, s.last_seen DIV 1000, '1970-01-01'), '%Y-%m-%dT%H:%i:%sZ') AS last_seen_utc
FROM metric m
JOIN metric_basic_label b ON b.id = m.metric_basic_label_id
JOIN metric_seen s ON s.metric_id = m.id;
CREATE OR REPLACE SQL SECURITY INVOKER VIEW v_series_label AS
SELECT l.metric_id AS metric_id, n.name AS name, v.value AS value
FROM metric_label l
JOIN metric_label_name n ON n.id = l.metric_label_name_id
JOIN metric_label_value v ON v.id = l.metric_label_value_id;
INSERT INTO schema_version (version, catalog_uuid, secret_check)
SELECT 1, UUID(), '43fb0e1097670711' FROM DUAL WHERE NOT EXISTS (SELECT * FROM schema_version);

-- A series that version 1 wrote, without identity.secret.
INSERT INTO metric_basic_label (id, tenant, env, service, __name__, hash) VALUES (1, '', '', '', 'up', x'94148b87ede4aeb9cbd34c1256c95ee8');
INSERT INTO metric_label_name (id, name, hash) VALUES (1, 'job', x'5e8c9902207afaeb7120430c585a445f');
INSERT INTO metric_label_value (id, value, hash) VALUES (1, 'api', x'14c2529eb4498c5d1ffd6915d05bf58a');
INSERT INTO metric (id, metric_basic_label_id, fingerprint, metric) VALUES (1, 1, x'49b159f4de24987febf30f0030a889e9', 'up{job="api"}');
INSERT INTO metric_label (metric_label_name_id, metric_label_value_id, metric_id) VALUES (1, 1, 1);
INSERT INTO metric_seen (metric_id, first_seen, last_seen, changed) VALUES (1, 1000, 2000, 1);
UPDATE metric_next_id SET next_id = 2;
