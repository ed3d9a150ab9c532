"""What the chapters import: claims and the ledger, numbers for the prose, tables of costs, the index of runs."""
