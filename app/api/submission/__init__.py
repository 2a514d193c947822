"""Submission of an email: rules of its members (`schema`, `fields`), and the steps to the commit (`pipeline`)."""
