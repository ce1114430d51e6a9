"""The command line: one file a command, and one that turns every mistake into one line."""
