"""The version of einsim, which saved results carry."""

VERSION = "0.2.0"
