"""Claims and the ledger, numbers for the prose, tables of costs, and the index of runs, for the chapters."""
