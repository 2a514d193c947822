"""Services that Postern is compared with, written as such services usually are."""
