//! Connection tracking: finding and deleting entries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Error;
use crate::attr::{find, put};
use crate::nft::Family;
use crate::socket::{ACK, DUMP, Netfilter, finish, start};

const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;

/// A tracked connection, as far as Services care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// The transport protocol's number.
    pub protocol: u8,
    /// Where the client meant to go.
    pub destination: (IpAddr, u16),
    /// Who answers.
    pub answers: (IpAddr, u16),
    original: Vec<u8>,
    id: Vec<u8>,
}

/// Connection tracking of this network namespace.
#[derive(Debug)]
pub struct Conntrack {
    socket: Netfilter,
}

impl Conntrack {
    /// Opens it.
    ///
    /// # Errors
    /// No such socket, or no right to it.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: Netfilter::open()? })
    }

    /// Deletes the flows a filter picks, giving how many.
    ///
    /// # Errors
    /// The kernel's answer; an entry that ended meanwhile is no error.
    pub fn delete(&mut self, family: Family, mut pick: impl FnMut(&Flow) -> bool) -> Result<usize, Error> {
        let mut request = Vec::new();
        let begun = start(&mut request, GET, DUMP, 1, family.number(), 0);
        finish(&mut request, begun);
        let mut picked = Vec::new();
        self.socket.dump(&request, |_, body| picked.extend(read(body).filter(|flow| pick(flow))))?;
        let mut deleted = 0;
        for flow in &picked {
            let mut request = Vec::new();
            let begun = start(&mut request, DELETE, ACK, 1, family.number(), 0);
            put(&mut request, 1 | 0x8000, &flow.original);
            put(&mut request, 12, &flow.id);
            finish(&mut request, begun);
            match self.socket.transact(&request, 1) {
                Ok(()) => deleted += 1,
                Err(error) if error.is_absent() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }
}

fn read(body: &[u8]) -> Option<Flow> {
    let original = find(body, 1)?;
    let reply = find(body, 2)?;
    let protocol = *find(find(original, 2)?, 1)?.first()?;
    let destination = (address(original, 2, 4)?, port(original, 3)?);
    let answers = (address(reply, 1, 3)?, port(reply, 2)?);
    Some(Flow { protocol, destination, answers, original: original.to_vec(), id: find(body, 12)?.to_vec() })
}

fn address(tuple: &[u8], v4: u16, v6: u16) -> Option<IpAddr> {
    let ip = find(tuple, 1)?;
    let four = find(ip, v4).and_then(|a| <[u8; 4]>::try_from(a).ok()).map(|a| Ipv4Addr::from(a).into());
    four.or_else(|| find(ip, v6).and_then(|a| <[u8; 16]>::try_from(a).ok()).map(|a| Ipv6Addr::from(a).into()))
}

/// ICMP has none.
fn port(tuple: &[u8], kind: u16) -> Option<u16> {
    find(find(tuple, 2)?, kind).and_then(|p| p.try_into().ok()).map(u16::from_be_bytes)
}
