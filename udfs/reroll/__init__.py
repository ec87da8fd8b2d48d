"""Late samples, and the windows they correct."""
