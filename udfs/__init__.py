"""What is computed: pure functions in one folder per job; each folder's flink is the thin shell, a file an operator."""
