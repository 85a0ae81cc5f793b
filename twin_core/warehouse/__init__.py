"""Raw documents: one protocol, two implementations (Postgres JSONB, MongoDB). Raw revisions and nothing else.

Sources, ledger, identity, consent and tombstones are in Postgres always and live in `store/`.
"""
