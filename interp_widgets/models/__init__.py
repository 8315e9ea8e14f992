"""Language models as experiments see them. The only package that touches nnsight's and transformers' internals."""
