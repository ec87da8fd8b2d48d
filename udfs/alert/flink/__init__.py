"""The alert job's operators: match (batches to pieces by key), judge (pieces to events), and a clock that beats."""
