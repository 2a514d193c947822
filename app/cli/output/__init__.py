"""Output of the commands: `text` (lines, JSON), `terminal` (styles, tables), and the view of `demo`."""
