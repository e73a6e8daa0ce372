"""Images with labels: reading, splits, tar shards, augmentation."""
