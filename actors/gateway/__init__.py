"""The edge: WebSocket sessions and market streams. No trading rule lives here."""
