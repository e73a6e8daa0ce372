"""The Optuna study of the explore stage: proposals, leases of candidates, storage, and limits on costs."""
