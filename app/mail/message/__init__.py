"""Email messages: values (`message`), addresses (`address`) and rendering as RFC 5322 bytes (`compose`)."""
