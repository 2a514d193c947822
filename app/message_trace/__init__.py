"""Readers of the delivery of emails after Exchange accepted them: of its message trace, and of non-delivery reports.

`graph` sends requests to Microsoft Graph. `trace_client` reads the trace with them, `request_budget` bounds their
number, `trace_window` decides which rows to read, `apply_page` applies a page of rows, `trace_reader` is the loop for
one tenant. `mailbox_client` reads folders, `ndr_reader` is the loop for one mailbox. `leased_reader` is the base of
both loops.
"""
