"""Email messages: values and their composition as RFC 5322 bytes (`message`), addresses, header fields, inline files,
parsers of their parts (`stored_parts`) and of HTML (`html_to_text`).
"""
