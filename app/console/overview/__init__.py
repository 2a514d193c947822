"""Overview: the most serious problem in one sentence, causes and fixes, the last day in numbers, and the mailboxes."""
