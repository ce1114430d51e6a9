"""What testbenches are made of: streams, scoreboard, coverage, jobs, and the bench of the designs here."""
