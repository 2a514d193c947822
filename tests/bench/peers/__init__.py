"""What Postern is measured against, written as such services usually are."""
