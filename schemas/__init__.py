"""What crosses a boundary: Avro records, batches of columns, topics, reasons, ClickHouse tables.

Imports nothing else of Tidegauge, so that producers may ship this package alone.
"""
