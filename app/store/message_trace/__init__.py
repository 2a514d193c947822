"""Reports of the message trace and of non-delivery reports: match, apply, and the leases of their readers."""
