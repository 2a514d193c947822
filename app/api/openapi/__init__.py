"""OpenAPI document (`document`) of the operations that routes describe (`operation`), and its page (`html`)."""
