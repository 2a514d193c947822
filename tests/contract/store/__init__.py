"""One suite for every supported database."""
