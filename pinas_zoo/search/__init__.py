"""The search: learn a supernet, evaluate it linearly, explore its paths (Peng et al., ICCV 2021, sec. 3)."""
