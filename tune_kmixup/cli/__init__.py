"""The command line `tune-kmixup`: commands, options and what they print."""
