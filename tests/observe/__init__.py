"""What is told of a running Postern, asked as its operators ask: by Prometheus."""
