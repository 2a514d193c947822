"""Page that sends a test email."""
