"""What deploy/ has for running Postern, held against Postern and against the tools that read it."""
