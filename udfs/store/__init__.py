"""Samples and series on their way into ClickHouse."""
