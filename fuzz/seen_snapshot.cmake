mi_fuzz(seen_snapshot base model telemetry dedupe)
