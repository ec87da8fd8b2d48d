"""How it is read: Prometheus's HTTP API over ClickHouse, with a cache in Redis."""
