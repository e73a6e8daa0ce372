"""The networks as timm models."""
