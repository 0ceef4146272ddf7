//! Links, addresses, routes and neighbours.

use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{InfoData, InfoVxlan, LinkAttribute, LinkInfo, LinkMessage};
use rtnetlink::packet_route::neighbour::{NeighbourFlags, NeighbourState};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute};
use rtnetlink::{Handle, LinkUnspec, LinkVxlan, RouteMessageBuilder};

use crate::Error;

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address.
    pub mac: Vec<u8>,
    /// Its largest packet.
    pub mtu: u32,
    /// What makes it a VXLAN device, if it is one.
    pub vxlan: Option<Vxlan>,
}

/// What makes a VXLAN device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vxlan {
    /// The network's number.
    pub vni: u32,
    /// The UDP port.
    pub port: u16,
    /// The device packets leave by.
    pub device: u32,
    /// The address they leave from.
    pub local: Ipv4Addr,
}

/// Links, addresses, routes and neighbours of this network namespace.
#[derive(Debug, Clone)]
pub struct Network {
    handle: Handle,
}

fn failed(what: &'static str) -> impl Fn(rtnetlink::Error) -> Error {
    move |source| Error::Route { what, source }
}

impl Network {
    /// Opens it; must be called on a runtime.
    ///
    /// # Errors
    /// No such socket.
    pub fn open() -> Result<Self, Error> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|source| Error::Socket { what: "opening", source })?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// All devices.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn links(&self) -> Result<Vec<Link>, Error> {
        let links: Vec<LinkMessage> =
            self.handle.link().get().execute().try_collect().await.map_err(failed("listing devices"))?;
        Ok(links.iter().map(link).collect())
    }

    /// The device of a name, if there is one.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn link(&self, name: &str) -> Result<Option<Link>, Error> {
        Ok(self.links().await?.into_iter().find(|l| l.name == name))
    }

    /// The device that has an address.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn link_of(&self, address: IpAddr) -> Result<Option<Link>, Error> {
        let what = failed("listing addresses");
        let filter = self.handle.address().get().set_address_filter(address);
        let found: Vec<_> = filter.execute().try_collect().await.map_err(what)?;
        let Some(index) = found.first().map(|message| message.header.index) else { return Ok(None) };
        Ok(self.links().await?.into_iter().find(|l| l.index == index))
    }

    /// Makes a VXLAN device that learns nothing, up.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn add_vxlan(&self, name: &str, vxlan: Vxlan, mtu: u32) -> Result<Link, Error> {
        let message = LinkVxlan::new(name, vxlan.vni)
            .dev(vxlan.device)
            .local(vxlan.local)
            .port(vxlan.port)
            .learning(false)
            .mtu(mtu)
            .up()
            .build();
        self.handle.link().add(message).execute().await.map_err(failed("making the VXLAN device"))?;
        self.link(name).await?.ok_or_else(|| Error::NoDevice(name.into()))
    }

    /// Sets a device's largest packet and brings it up.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn bring_up(&self, link: &Link, mtu: u32) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(link.index).mtu(mtu).up().build();
        self.handle.link().set(message).execute().await.map_err(failed("bringing a device up"))
    }

    /// Removes a device.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn delete_link(&self, link: &Link) -> Result<(), Error> {
        self.handle.link().del(link.index).execute().await.map_err(failed("removing a device"))
    }

    /// Gives a device an address, unless it has it, and takes all other IPv4 addresses from it.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn set_address(&self, link: &Link, address: Ipv4Addr, prefix: u8) -> Result<(), Error> {
        let filter = self.handle.address().get().set_link_index_filter(link.index);
        let present: Vec<_> = filter.execute().try_collect().await.map_err(failed("listing addresses"))?;
        let is_v4 = |m: &&_| -> bool {
            let message: &rtnetlink::packet_route::address::AddressMessage = m;
            message.header.family == AddressFamily::Inet
        };
        let mut there = false;
        for message in present.iter().filter(is_v4) {
            use rtnetlink::packet_route::address::AddressAttribute::{Address, Local};
            let same = message.header.prefix_len == prefix
                && message.attributes.iter().any(|a| matches!(a, Address(ip) | Local(ip) if *ip == address));
            if same {
                there = true;
            } else {
                let delete = self.handle.address().del(message.clone()).execute();
                delete.await.map_err(failed("removing an address"))?;
            }
        }
        if there {
            return Ok(());
        }
        let add = self.handle.address().add(link.index, address.into(), prefix).execute();
        add.await.map_err(failed("adding an address"))
    }

    /// Sets a route to a range by a gateway; `onlink` where the gateway is reached without a route of its own.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn set_route(
        &self,
        (range, prefix): (Ipv4Addr, u8),
        gateway: Ipv4Addr,
        link: &Link,
        onlink: bool,
    ) -> Result<(), Error> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(range, prefix)
            .gateway(gateway)
            .output_interface(link.index);
        let route = if onlink { route.onlink() } else { route };
        self.handle.route().add(route.build()).replace().execute().await.map_err(failed("setting a route"))
    }

    /// The IPv4 routes by a gateway through a device: range, prefix, gateway.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn routes(&self, link: &Link) -> Result<Vec<((Ipv4Addr, u8), Ipv4Addr)>, Error> {
        let filter = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let all: Vec<_> = self
            .handle
            .route()
            .get(filter)
            .execute()
            .try_collect()
            .await
            .map_err(failed("listing routes"))?;
        let mut routes = Vec::new();
        for message in all {
            let (mut range, mut gateway, mut device) = (None, None, None);
            for attribute in &message.attributes {
                match attribute {
                    RouteAttribute::Destination(RouteAddress::Inet(ip)) => range = Some(*ip),
                    RouteAttribute::Gateway(RouteAddress::Inet(ip)) => gateway = Some(*ip),
                    RouteAttribute::Oif(index) => device = Some(*index),
                    _ => {}
                }
            }
            if let (Some(range), Some(gateway), true) = (range, gateway, device == Some(link.index)) {
                routes.push(((range, message.header.destination_prefix_length), gateway));
            }
        }
        Ok(routes)
    }

    /// Removes a route; one that is not there is no error.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn delete_route(&self, (range, prefix): (Ipv4Addr, u8), link: &Link) -> Result<(), Error> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(range, prefix)
            .output_interface(link.index)
            .build();
        ignore_absent(self.handle.route().del(route).execute().await).map_err(failed("removing a route"))
    }

    /// Sets the hardware address of a neighbour, for good.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn set_neighbour(&self, link: &Link, address: Ipv4Addr, mac: &[u8]) -> Result<(), Error> {
        let request = self.handle.neighbours().add(link.index, address.into());
        let request = request.state(NeighbourState::Permanent).link_layer_address(mac).replace();
        request.execute().await.map_err(failed("setting a neighbour"))
    }

    /// Sets the machine behind which a hardware address is, for good.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn set_forwarding(&self, link: &Link, mac: &[u8], machine: Ipv4Addr) -> Result<(), Error> {
        let request = self.handle.neighbours().add_bridge(link.index, mac);
        // the device's own table ("self"), not that of a bridge it might be a port of
        let request = request.flags(NeighbourFlags::Own).destination(machine.into()).replace();
        request.execute().await.map_err(failed("setting a forwarding entry"))
    }

    /// Removes what [`Network::set_neighbour`] set; one that is not there is no error.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn delete_neighbour(&self, link: &Link, address: Ipv4Addr) -> Result<(), Error> {
        let mut request = self.handle.neighbours().add(link.index, address.into());
        let message = request.message_mut().clone();
        let deleted = self.handle.neighbours().del(message).execute().await;
        ignore_absent(deleted).map_err(failed("removing a neighbour"))
    }

    /// Removes what [`Network::set_forwarding`] set; one that is not there is no error.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn delete_forwarding(&self, link: &Link, mac: &[u8], machine: Ipv4Addr) -> Result<(), Error> {
        let request = self.handle.neighbours().add_bridge(link.index, mac);
        let mut request = request.flags(NeighbourFlags::Own).destination(machine.into());
        let message = request.message_mut().clone();
        let deleted = self.handle.neighbours().del(message).execute().await;
        ignore_absent(deleted).map_err(failed("removing a forwarding entry"))
    }
}

fn ignore_absent(result: Result<(), rtnetlink::Error>) -> Result<(), rtnetlink::Error> {
    match result {
        Err(rtnetlink::Error::NetlinkError(message))
            if [nix::libc::ENOENT, nix::libc::ESRCH].contains(&message.raw_code().abs()) =>
        {
            Ok(())
        }
        other => other,
    }
}

fn link(message: &LinkMessage) -> Link {
    let (name, mac, mtu) = (String::new(), Vec::new(), 0);
    let mut link = Link { index: message.header.index, name, mac, mtu, vxlan: None };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(mac) => link.mac.clone_from(mac),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Data(InfoData::Vxlan(data)) = info {
                        link.vxlan = Some(vxlan(data));
                    }
                }
            }
            _ => {}
        }
    }
    link
}

fn vxlan(data: &[InfoVxlan]) -> Vxlan {
    let mut vxlan = Vxlan { vni: 0, port: 0, device: 0, local: Ipv4Addr::UNSPECIFIED };
    for info in data {
        match info {
            InfoVxlan::Id(vni) => vxlan.vni = *vni,
            InfoVxlan::Port(port) => vxlan.port = *port,
            InfoVxlan::Link(device) => vxlan.device = *device,
            InfoVxlan::Local(local) => vxlan.local = *local,
            _ => {}
        }
    }
    vxlan
}
