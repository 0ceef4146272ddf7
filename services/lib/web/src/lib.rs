//! HTTP/1.1 and HTTP/2 servers over TLS, TCP and unix sockets, with certificates that reload.
