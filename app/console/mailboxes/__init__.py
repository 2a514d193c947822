"""Page of one mailbox."""
