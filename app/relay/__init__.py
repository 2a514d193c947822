"""The outbound loop: claim, deliver, judge, settle. It never sees an HTTP request."""
