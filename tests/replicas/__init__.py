"""Several Posterns on one PostgreSQL, killed, frozen and disconnected."""
