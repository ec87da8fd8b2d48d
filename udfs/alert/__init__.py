"""Rules judged on the stream."""
