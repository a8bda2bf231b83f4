"""The report: its sections, tables, figures and words, written in each format."""
