"""One suite for every database the store can stand on."""
