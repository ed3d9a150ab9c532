"""What a run leaves: records, where they come from, whether they are fresh, and the sweeps they make up."""
