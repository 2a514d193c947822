"""Access to the database without any table: engines, group commit, concurrent reads, backup, ids, notifications."""
