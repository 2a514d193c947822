"""Diagnosis of the connection, the certificate, the logins, the senders' domains, and the reads of Microsoft Graph."""
