"""Several Posterns over one PostgreSQL, killed, frozen and cut off."""
