"""List of emails: search, tabs by event, and changes of selected or all matching emails."""
