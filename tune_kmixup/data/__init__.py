"""Data sets: where they come from, how they are read and checked, and which rows are trained and tested on."""
