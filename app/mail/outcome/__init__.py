"""Delivery attempts (`attempt`), SMTP replies (`reply`), policy rules (`rule`), the steps of their fixes (`steps`), and
verdicts (`verdict`).
"""
