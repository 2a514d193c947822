"""Non-delivery reports (RFC 3464): `parse` reads one, `belief` has the conditions under which it counts. Pure."""
