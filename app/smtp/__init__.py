"""The only package that opens sockets to the upstream. It judges nothing and stores nothing."""
