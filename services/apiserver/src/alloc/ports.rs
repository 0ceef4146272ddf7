//! NodePorts: a bitmap in one object, changed by compare-and-put.
//!
//! # Upstream
//! `pkg/registry/core/service/portallocator/allocator.go`, `pkg/registry/core/service/allocator/bitmap.go`

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use schema::{Object, Value};

use crate::codec::Type;
use crate::errors::{self, Result};
use crate::server::Server;
use crate::store::kv::Written;

const KEY: &str = "/registry/ranges/servicenodeports";

/// The bitmap: bit n of a big-endian number stands for port first + n.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bitmap(Vec<u8>);

impl Bitmap {
    fn get(&self, n: usize) -> bool {
        let at = n / 8;
        self.0.len() > at && self.0[self.0.len() - 1 - at] >> (n % 8) & 1 == 1
    }

    fn set(&mut self, n: usize, on: bool) {
        let at = n / 8;
        if self.0.len() <= at {
            let missing = at + 1 - self.0.len();
            self.0.splice(0..0, std::iter::repeat_n(0, missing));
        }
        let index = self.0.len() - 1 - at;
        if on { self.0[index] |= 1 << (n % 8) } else { self.0[index] &= !(1 << (n % 8)) }
    }
}

fn schema() -> Result<Type> {
    let gvk = meta::GroupVersionKind::new("", "v1", "RangeAllocation");
    Type::of(&gvk).ok_or_else(|| errors::internal("no schema for RangeAllocation"))
}

/// Changes the bitmap until the store takes it; `change` may refuse.
async fn change<T>(
    server: &Arc<Server>,
    mut change: impl FnMut(&mut Bitmap) -> std::result::Result<T, String>,
) -> Result<std::result::Result<T, String>> {
    let schema = schema()?;
    loop {
        let row = server.store.kv.get(KEY, 0).await?;
        let (bitmap, revision) = match &row {
            None => (Bitmap(Vec::new()), 0),
            Some(row) => {
                let object = schema.decode_stored(&row.value).map_err(errors::internal)?;
                let data = STANDARD.decode(object.str_at(&["data"])).map_err(errors::internal)?;
                (Bitmap(data), row.revision)
            }
        };
        let mut next = bitmap.clone();
        let outcome = match change(&mut next) {
            Ok(outcome) => outcome,
            Err(why) => return Ok(Err(why)),
        };
        if next == bitmap {
            return Ok(Ok(outcome));
        }
        let mut object = Object::default();
        object.set(&["kind"], "RangeAllocation");
        object.set(&["apiVersion"], "v1");
        object.set(&["metadata"], schema::Map::new());
        object.set(&["range"], server.settings.service_node_port_range.as_str());
        object.set(&["data"], Value::from(STANDARD.encode(&next.0)));
        let value = Bytes::from(schema.encode_json(&object));
        if let Written::Done(_) = server.store.kv.put(KEY, value, revision, 0).await? {
            return Ok(Ok(outcome));
        }
    }
}

fn span(server: &Arc<Server>) -> Result<(u16, usize)> {
    let (first, last) = server.settings.node_ports().map_err(errors::internal)?;
    Ok((first, usize::from(last.saturating_sub(first)) + 1))
}

/// Takes a port a user chose.
pub async fn claim(server: &Arc<Server>, port: u16) -> Result<std::result::Result<(), String>> {
    let (first, size) = span(server)?;
    let n = usize::from(port.wrapping_sub(first));
    if port < first || n >= size {
        let range = &server.settings.service_node_port_range;
        return Ok(Err(format!(
            "provided port is not in the valid range. The range of valid ports is {range}"
        )));
    }
    change(server, |bitmap| {
        if bitmap.get(n) {
            return Err("provided port is already allocated".into());
        }
        bitmap.set(n, true);
        Ok(())
    })
    .await
}

/// Takes any free port, above the band of the users while there is one.
pub async fn any(server: &Arc<Server>) -> Result<u16> {
    let (first, size) = span(server)?;
    let band = if size < 16 { 0 } else { (size / 32).clamp(16, 128) };
    let seed = uuid::Uuid::new_v4().as_u128() as usize;
    let taken = change(server, |bitmap| {
        let dynamic = size - band;
        let order = (0..dynamic).map(|i| band + (seed.wrapping_add(i)) % dynamic).chain(0..band);
        for n in order {
            if !bitmap.get(n) {
                bitmap.set(n, true);
                return Ok(first + n as u16);
            }
        }
        Err("failed to allocate a nodePort: range is full".into())
    });
    taken.await?.map_err(errors::internal)
}

/// Gives ports back.
pub async fn release(server: &Arc<Server>, ports: &[u16]) {
    let Ok((first, size)) = span(server) else { return };
    if ports.is_empty() {
        return;
    }
    let released = change(server, |bitmap| {
        for port in ports.iter().filter(|p| **p >= first && usize::from(**p - first) < size) {
            bitmap.set(usize::from(port - first), false);
        }
        Ok(())
    });
    if let Err(error) = released.await {
        tracing::warn!(error = %error, "cannot release ports");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits() {
        let mut bitmap = Bitmap(Vec::new());
        bitmap.set(0, true);
        bitmap.set(9, true);
        assert_eq!(bitmap.0, [2, 1]);
        assert!(bitmap.get(0) && bitmap.get(9) && !bitmap.get(1) && !bitmap.get(99));
        bitmap.set(9, false);
        assert_eq!(bitmap.0, [0, 1]);
    }
}
