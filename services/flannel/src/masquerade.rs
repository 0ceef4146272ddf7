//! Masquerading of what leaves the pods' range.

use netlink::nft::{Batch, Expr, Family, Hook, HookPoint, Nft, Reg, Table, Verdict};

use crate::subnet::Subnet;

const TABLE: Table = Table { family: Family::Ip, name: "k3s-rs-flannel" };
const CHAIN: &str = "postrouting";

/// Makes the table say what the ranges ask for, in one step.
///
/// # Errors
/// The kernel refused.
///
/// # Upstream
/// flannel `pkg/trafficmngr/nftables/nftables.go` `addMASQRules`
pub(crate) fn program(nft: &mut Nft, network: Subnet, own: Subnet) -> Result<(), netlink::Error> {
    let mut batch = Batch::default();
    batch.table(TABLE);
    batch.chain(TABLE, CHAIN, Some(Hook { point: HookPoint::Postrouting, priority: 100, nat: true }));
    batch.flush(TABLE, None);
    for rule in rules(network, own) {
        batch.rule(TABLE, CHAIN, &rule);
    }
    nft.commit(batch)
}

/// Removes the table.
///
/// # Errors
/// The kernel refused.
pub(crate) fn remove(nft: &mut Nft) -> Result<(), netlink::Error> {
    if !nft.has_table(TABLE)? {
        return Ok(());
    }
    let mut batch = Batch::default();
    batch.delete_table(TABLE);
    nft.commit(batch)
}

fn rules(network: Subnet, own: Subnet) -> Vec<Vec<Expr>> {
    let within = |load: Expr, range: Subnet, inside: bool| {
        vec![
            load,
            Expr::Bitwise(Reg(0), range.mask().to_be_bytes().to_vec(), vec![0; 4]),
            Expr::Compare(Reg(0), inside, range.first.octets().to_vec()),
        ]
    };
    let (source, destination) = (Expr::source(Family::Ip, Reg(0)), Expr::destination(Family::Ip, Reg(0)));
    let done = || vec![Expr::Verdict(Verdict::Return)];
    let multicast = Subnet { first: std::net::Ipv4Addr::new(224, 0, 0, 0), prefix: 4 };
    vec![
        // between pods
        [within(source.clone(), network, true), within(destination.clone(), network, true), done()].concat(),
        // pods to the world
        [
            within(source.clone(), network, true),
            within(destination.clone(), multicast, false),
            vec![Expr::Masquerade],
        ]
        .concat(),
        // the world to this node's pods: their source stays
        [within(source.clone(), network, false), within(destination.clone(), own, true), done()].concat(),
        // this node to other nodes' pods
        [within(source, network, false), within(destination, network, true), vec![Expr::Masquerade]].concat(),
    ]
}
