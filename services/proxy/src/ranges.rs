//! Sets of address ranges without overlaps: the kernel refuses sets whose ranges overlap.

use netlink::nft::Family;

use crate::network::Network;

/// A range of addresses, both ends included, as bytes.
pub type Range = (Vec<u8>, Vec<u8>);

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |n, byte| n << 8 | u128::from(*byte))
}

fn bytes(number: u128, family: Family) -> Vec<u8> {
    number.to_be_bytes()[16 - usize::from(family.address_len())..].to_vec()
}

/// The addresses of a family that are in any of the blocks, a block being a network without some others.
pub fn union<'a>(
    blocks: impl IntoIterator<Item = (&'a Network, &'a [Network])>,
    family: Family,
) -> Vec<Range> {
    let ends = |n: &Network| (number(&n.first()), number(&n.last()));
    let mut pieces: Vec<(u128, u128)> = Vec::new();
    for (network, except) in blocks.into_iter().filter(|(n, _)| n.family() == family) {
        let mut holes: Vec<_> = except.iter().filter(|e| e.family() == family).map(ends).collect();
        holes.sort_unstable();
        let (mut first, last) = ends(network);
        let mut is_over = false;
        for (hole, end) in holes {
            if end < first || hole > last {
                continue;
            }
            if hole > first {
                pieces.push((first, hole - 1));
            }
            is_over |= end >= last;
            first = first.max(end.saturating_add(1));
        }
        if !is_over && first <= last {
            pieces.push((first, last));
        }
    }
    pieces.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::new();
    for (first, last) in pieces {
        match merged.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged.into_iter().map(|(first, last)| (bytes(first, family), bytes(last, family))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().expect("network")
    }

    #[test]
    fn overlaps_and_holes() {
        let cases: [(&[(&str, &[&str])], &[&str]); 7] = [
            (&[("10.0.0.0/8", &[]), ("10.1.0.0/16", &[])], &["10.0.0.0-10.255.255.255"]),
            (&[("10.0.0.0/30", &["10.0.0.1/32"])], &["10.0.0.0-10.0.0.0", "10.0.0.2-10.0.0.3"]),
            (&[("10.0.0.0/30", &["10.0.0.2/31", "10.0.0.3/32"])], &["10.0.0.0-10.0.0.1"]),
            // what one block leaves out another may let in
            (&[("10.0.0.0/30", &["10.0.0.1/32"]), ("10.0.0.1/32", &[])], &["10.0.0.0-10.0.0.3"]),
            (&[("10.0.0.0/24", &["10.0.0.0/24"])], &[]),
            (&[("0.0.0.0/0", &["128.0.0.0/1"])], &["0.0.0.0-127.255.255.255"]),
            (&[("fd00::/64", &[])], &[]),
        ];
        for (blocks, want) in cases {
            let parsed: Vec<(Network, Vec<Network>)> =
                blocks.iter().map(|(n, e)| (network(n), e.iter().map(|e| network(e)).collect())).collect();
            let got = union(parsed.iter().map(|(n, e)| (n, e.as_slice())), Family::Ip);
            let text = |b: &[u8]| b.iter().map(u8::to_string).collect::<Vec<_>>().join(".");
            let got: Vec<String> = got.iter().map(|(a, b)| format!("{}-{}", text(a), text(b))).collect();
            assert_eq!(got, want, "{blocks:?}");
        }
        let all = [(network("::/0"), vec![])];
        let got = union(all.iter().map(|(n, e)| (n, e.as_slice())), Family::Ip6);
        assert_eq!(got, [(vec![0; 16], vec![255; 16])]);
    }
}
