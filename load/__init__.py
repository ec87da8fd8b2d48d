"""Fills Tidegauge from files: past the stream into ClickHouse, or as batches into metrics.raw."""
