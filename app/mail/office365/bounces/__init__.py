"""Rules for the codes of bounces: what Exchange reports after it has accepted a message.

They come in non-delivery reports and message traces. `lookup` finds the rule of a code.
"""
