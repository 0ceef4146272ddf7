//! The kernel's network objects: links, routes, neighbours, nftables, conntrack.
