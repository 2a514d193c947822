"""Delivery attempts (`attempt`), SMTP replies (`reply`), policy rules (`rule`) and verdicts (`verdict`)."""
