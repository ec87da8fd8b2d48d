"""What enters: every batch is checked, split into shards, and each refusal is named."""
