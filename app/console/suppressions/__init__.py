"""Page of the suppression list."""
