"""What is measured of a contestant, once."""
