"""Routes under /suppressions: addresses to which no email is sent."""
