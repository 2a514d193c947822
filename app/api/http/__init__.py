"""Parts of requests that several routes have: body, header fields, parameters, and the class of JSON routes."""
