"""Delivery of an email after Exchange accepted it, as Exchange's message trace reports it. Pure.

`states` has the states of a recipient and their transitions, `trace_row` the rows of the trace, `matching` the search
for the email of a row, `bounce` the cause and type of a bounce.
"""
