"""The networks as timm models: the Π-NAS space and NAS-Bench-201."""
