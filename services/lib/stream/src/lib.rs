//! Multiplexed byte streams over one connection: SPDY/3.1 and WebSocket, as kubectl exec and port-forward speak them.
