"""Sends a machine's metrics, and what it scrapes, to metrics.raw."""
