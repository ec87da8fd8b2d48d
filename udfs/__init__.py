"""What is computed: pure functions in one folder per job; each folder's flink.py is the thin shell around them."""
