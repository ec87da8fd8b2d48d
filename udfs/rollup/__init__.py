"""Windows of columns and what becomes of them when they close."""
