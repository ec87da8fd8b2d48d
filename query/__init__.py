"""The query service: Prometheus's HTTP API over ClickHouse, with a cache in Redis that is never wrong."""
