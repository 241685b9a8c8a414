"""The XComposer precision lab: what floating-point precision does to a vision-language model."""

__version__ = "0.1.0"
