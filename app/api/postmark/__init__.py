"""Routes under /email in the form of Postmark's API, for applications with its SDKs."""
