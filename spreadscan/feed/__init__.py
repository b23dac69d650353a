"""Feed: one source's WebSocket frames into the price store."""
