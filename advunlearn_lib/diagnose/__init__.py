"""What a machine lacks for a profile, and what a run of it would take."""
