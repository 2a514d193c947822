"""Reader of Exchange's message trace: the delivery of emails after Exchange accepted them.

`client` calls Microsoft Graph, `budget` bounds its requests, `window` decides which rows to read, `page` applies a page
of rows, `reader` is the loop for one tenant.
"""
