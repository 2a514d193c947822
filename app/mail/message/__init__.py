"""Email messages: values (`message`), addresses (`address`), header fields, MIME, and rendering as RFC 5322 bytes
(`compose`); parsers of their parts (`stored_parts`), of encoded words and of HTML.
"""
