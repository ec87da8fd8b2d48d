"""Blocks on their way into ClickHouse."""
