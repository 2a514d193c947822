"""Page of the audit."""
