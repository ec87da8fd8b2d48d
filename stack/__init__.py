"""The local stack without Docker, and the tidegauge command."""
