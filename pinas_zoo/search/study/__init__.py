"""The exploration's study: proposals, leases of candidates, storage, constraints."""
