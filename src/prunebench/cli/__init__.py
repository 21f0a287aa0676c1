"""The command line: the only part that prints, exits, and imports click; one file per command."""
