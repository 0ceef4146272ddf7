//! The wiring: nodes in, device and routes out.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use client::{Cache, CacheBuilder, Client, Key, Patch, PatchParams, Resource};
use daemon::Context;
use k8s_openapi::api::core::v1 as core;
use netlink::nft::Nft;
use netlink::route::{Link, Network, Vxlan};
use tokio::sync::{mpsc, oneshot};

use crate::model::{self, Node, VxlanData, mac_text};
use crate::plan::{Peer, peers};
use crate::settings::{Backend, Settings};
use crate::subnet::Subnet;
use crate::{files, masquerade};

/// What VXLAN adds to a packet.
const VXLAN_OVERHEAD: u32 = 50;
/// After a refusal by the kernel everything is tried again after this long.
const RETRY: Duration = Duration::from_secs(1);

/// Runs flannel until it is told to stop. Device and routes stay.
pub async fn run(settings: Settings, context: Context) -> anyhow::Result<()> {
    if settings.backend == Backend::WireguardNative {
        bail!("backend wireguard-native is not supported yet; vxlan and host-gw are");
    }
    let network: Subnet = settings.cluster_cidr.parse().context("clusterCIDR")?;
    let client =
        Client::from_kubeconfig(&settings.kubeconfig, "k3s-rs-flannel").context("reading the kubeconfig")?;
    let nodes = CacheBuilder::new(Resource::of::<core::Node>(), Node::project).start(client.clone());
    let mut changes = nodes.subscribe();
    let mut shutdown = context.shutdown.clone();
    let (subnet, own) = tokio::select! {
        own = wait_for_own(&nodes, &settings.node_name) => own,
        () = shutdown.wait() => return Ok(()),
    };
    let kernel = Network::open()?;
    let ground = Ground::lay(&settings, &kernel, subnet, &own).await?;
    let mut nft = Nft::open()?;
    if settings.ip_masq {
        masquerade::program(&mut nft, network, subnet)?;
    } else {
        masquerade::remove(&mut nft)?;
    }
    announce(&client, &settings, &ground, &own).await?;
    let mtu = ground.mtu;
    let environment = files::environment(network, subnet, mtu, settings.ip_masq);
    files::write(&settings.subnet_file, &environment)
        .with_context(|| format!("writing {}", settings.subnet_file.display()))?;
    let mut known = ground.known(&kernel, network).await?;
    let mut is_ready = false;
    let mut probes = watch_over(&context);
    loop {
        while changes.try_recv().is_ok() {}
        let snapshot = nodes.snapshot();
        let all = snapshot.iter().map(|(key, node)| (key.name.as_str(), node.as_ref()));
        let wanted = peers(&settings.node_name, settings.backend, all);
        let retry = match ground.apply(&kernel, &mut known, wanted).await {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "The kernel refused a route");
                Some(RETRY)
            }
        };
        if retry.is_none() && !is_ready {
            let chain = serde_json::to_string_pretty(&files::chain(network, subnet, mtu))?;
            files::write(&settings.cni_file, &chain)
                .with_context(|| format!("writing {}", settings.cni_file.display()))?;
            context.ready("pods are connected");
            is_ready = true;
        }
        tokio::select! {
            _ = changes.recv() => {}
            Some(answer) = probes.recv() => {
                // an answer nobody waits for any more came too late, and that is told by the one who waited
                drop(answer.send(ground.check(&kernel).await));
            }
            () = tokio::time::sleep(retry.unwrap_or(Duration::MAX)), if retry.is_some() => {}
            () = shutdown.wait() => return Ok(()),
        }
    }
}

type Answer = oneshot::Sender<Result<(), netlink::Error>>;

/// What the watchdog asks of the loop: whether the kernel still has the device. Without it pods are cut off until the
/// service starts anew.
fn watch_over(context: &Context) -> mpsc::Receiver<Answer> {
    let (probes, asked) = mpsc::channel::<Answer>(1);
    context.feed_watchdog(move || {
        let probes = probes.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            probes.send(answer).await?;
            Ok(answered.await??)
        }
    });
    asked
}

/// Waits until this node has a subnet and an address.
async fn wait_for_own(nodes: &Cache<Node>, name: &str) -> (Subnet, Node) {
    let mut changes = nodes.subscribe();
    let key = Key::new("", name);
    loop {
        if let Some(node) = nodes.snapshot().get(&key)
            && let (Some(subnet), Some(_)) = (node.subnet, node.internal_ip)
        {
            return (subnet, node.as_ref().clone());
        }
        tracing::info!(node = name, "Waiting for the node's pod range and address");
        if changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// What routes are laid on.
struct Ground {
    backend: Backend,
    link: Link,
    address: std::net::Ipv4Addr,
    mtu: u32,
    vni: u32,
}

impl Ground {
    /// Finds the device towards other nodes and, for VXLAN, makes or adopts the tunnel's.
    async fn lay(settings: &Settings, kernel: &Network, subnet: Subnet, own: &Node) -> anyhow::Result<Self> {
        let address = own.internal_ip.context("the node has no IPv4 address")?;
        let outer = match settings.iface.as_str() {
            "" => {
                kernel.link_of(address.into()).await?.with_context(|| format!("no device has {address}"))?
            }
            name => kernel.link(name).await?.with_context(|| format!("no device {name:?}"))?,
        };
        let (backend, vni) = (settings.backend, settings.vni);
        if backend == Backend::HostGw {
            return Ok(Self { backend, mtu: outer.mtu, link: outer, address, vni });
        }
        let mtu = outer.mtu.saturating_sub(VXLAN_OVERHEAD);
        let wanted = Vxlan { vni, port: settings.port, device: outer.index, local: address };
        let name = format!("flannel.{vni}");
        let link = match kernel.link(&name).await? {
            Some(there) if there.vxlan == Some(wanted) => {
                tracing::info!(device = name, "Adopted the device that was there");
                there
            }
            Some(other) => {
                tracing::warn!(device = name, "Made anew: it had other settings");
                kernel.delete_link(&other).await?;
                kernel.add_vxlan(&name, wanted, mtu).await?
            }
            None => kernel.add_vxlan(&name, wanted, mtu).await?,
        };
        if link.mtu != mtu {
            kernel.bring_up(&link, mtu).await?;
        }
        kernel.set_address(&link, subnet.first, 32).await?;
        Ok(Self { backend, link, address, mtu, vni })
    }

    async fn check(&self, kernel: &Network) -> Result<(), netlink::Error> {
        match kernel.link(&self.link.name).await? {
            Some(link) if link.index == self.link.index => Ok(()),
            _ => Err(netlink::Error::NoDevice(self.link.name.clone())),
        }
    }

    /// Routes an earlier run left, so that those to nodes which are gone are removed. Their peers are not known any
    /// more: the forwarding entries of such a node are harmless and go with the device.
    async fn known(
        &self,
        kernel: &Network,
        network: Subnet,
    ) -> Result<BTreeMap<Subnet, Option<Peer>>, netlink::Error> {
        let routes = kernel.routes(&self.link).await?;
        let subnets =
            routes.into_iter().map(|((first, prefix), gateway)| (Subnet { first, prefix }, gateway));
        let ours = subnets.filter(|(subnet, gateway)| match self.backend {
            Backend::HostGw => u32::from(subnet.first) & network.mask() == u32::from(network.first),
            _ => *gateway == subnet.first,
        });
        Ok(ours.map(|(subnet, _)| (subnet, None)).collect())
    }

    /// Brings the kernel from what is known to what is wanted.
    async fn apply(
        &self,
        kernel: &Network,
        known: &mut BTreeMap<Subnet, Option<Peer>>,
        wanted: BTreeMap<Subnet, Peer>,
    ) -> Result<(), netlink::Error> {
        let gone: Vec<Subnet> = known.keys().filter(|s| !wanted.contains_key(s)).copied().collect();
        for subnet in gone {
            kernel.delete_route((subnet.first, subnet.prefix), &self.link).await?;
            if let Some(Some(peer)) = known.get(&subnet) {
                self.forget(kernel, subnet, peer).await?;
            }
            known.remove(&subnet);
            tracing::info!(%subnet, "Peer is gone");
        }
        for (subnet, peer) in wanted {
            let before = known.get(&subnet).and_then(Option::as_ref);
            if before == Some(&peer) {
                continue;
            }
            if let Some(old) = before.filter(|old| old.mac != peer.mac || old.machine != peer.machine) {
                self.forget(kernel, subnet, old).await?;
            }
            self.connect(kernel, subnet, &peer).await?;
            tracing::info!(%subnet, machine = %peer.machine, "Peer is connected");
            known.insert(subnet, Some(peer));
        }
        Ok(())
    }

    async fn connect(&self, kernel: &Network, subnet: Subnet, peer: &Peer) -> Result<(), netlink::Error> {
        let range = (subnet.first, subnet.prefix);
        let Some(mac) = &peer.mac else {
            return kernel.set_route(range, peer.machine, &self.link, false).await;
        };
        // the route last: what it sends finds its way at once
        kernel.set_neighbour(&self.link, subnet.first, mac).await?;
        kernel.set_forwarding(&self.link, mac, peer.machine).await?;
        kernel.set_route(range, subnet.first, &self.link, true).await
    }

    async fn forget(&self, kernel: &Network, subnet: Subnet, peer: &Peer) -> Result<(), netlink::Error> {
        let Some(mac) = &peer.mac else { return Ok(()) };
        kernel.delete_neighbour(&self.link, subnet.first).await?;
        kernel.delete_forwarding(&self.link, mac, peer.machine).await
    }
}

/// Tells the peers through the node's annotations how this node is reached.
async fn announce(client: &Client, settings: &Settings, ground: &Ground, own: &Node) -> anyhow::Result<()> {
    let (kind, data) = match settings.backend {
        Backend::Vxlan => {
            let data = VxlanData { vni: ground.vni, mac: mac_text(&ground.link.mac) };
            ("vxlan", serde_json::to_string(&data)?)
        }
        _ => ("host-gw", "null".to_owned()),
    };
    let wanted: BTreeMap<&str, String> = BTreeMap::from([
        (model::TYPE, kind.to_owned()),
        (model::DATA, data),
        (model::PUBLIC_IP, ground.address.to_string()),
        (model::MANAGED, "true".to_owned()),
    ]);
    if wanted.iter().all(|(key, value)| own.annotations.get(*key) == Some(value)) {
        return Ok(());
    }
    let patch = Patch::Merge(serde_json::json!({"metadata": {"annotations": wanted}}));
    let params = PatchParams { field_manager: "k3s-rs-flannel", subresource: "" };
    let (resource, key) = (Resource::of::<core::Node>(), Key::new("", &settings.node_name));
    loop {
        match client.patch(&resource, &key, &patch, &params).await {
            Ok(_) => return Ok(()),
            Err(error) if error.status().is_some() => return Err(error).context("annotating the node"),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "Annotating the node");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
