//! Services, load balancers and network policy as nftables.
