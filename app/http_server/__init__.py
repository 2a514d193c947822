"""Embedded HTTP server. Public: server.HttpServer, server.ServerLimits, server.ListenError."""
