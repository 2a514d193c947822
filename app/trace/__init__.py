"""Reader of Exchange's message trace: the delivery of emails after Exchange accepted them.

`graph` sends requests to Microsoft Graph, `client` reads the trace with them, `budget` bounds their number, `window`
decides which rows to read, `page` applies a page of rows, `reader` is the loop for one tenant, under a `lease`.
"""
