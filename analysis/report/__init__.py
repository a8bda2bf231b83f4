"""The report: its sections, tables, figures and notes, written in each format."""
