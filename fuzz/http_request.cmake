mi_fuzz(http_request base telemetry net)
