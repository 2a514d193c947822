"""Rules of webhooks (`rules`) and their events as JSON (`payload`)."""
