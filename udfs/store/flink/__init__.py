"""The store's operators: what becomes payloads for the block writer."""
