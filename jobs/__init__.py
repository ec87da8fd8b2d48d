"""What is wired: one file a Flink job, each of which can be submitted alone."""
