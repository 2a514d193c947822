"""Output of the commands: `text` (lines, JSON), `terminal` (tables, TSV), `findings`, and the view of `demo`."""
