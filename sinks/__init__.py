"""How it lands: rows for ClickHouse, records for Kafka."""
