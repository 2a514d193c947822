"""Readers of the delivery of emails after Exchange accepted them: of its message trace, and of non-delivery reports.

`graph` sends requests to Microsoft Graph. `client` reads the trace with them, `budget` bounds their number, `window`
decides which rows to read, `apply_page` applies a page of rows, `reader` is the loop for one tenant. `mailbox` reads
folders, `ndr_reader` is the loop for one mailbox. Both loops run under a `lease`.
"""
