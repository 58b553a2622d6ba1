"""Chain profiles: what differs between the chains that fedsm signs for, as bytes and as node behaviour."""
