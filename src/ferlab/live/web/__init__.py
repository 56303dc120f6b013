"""The page of `ferlab live`, and the server behind it: one WebSocket a client, JPEG up, JSON down."""
