//! Reads: from the cache when it can serve them, otherwise from the store at the revision wanted.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::cache::{Objects, ResourceCache, Snapshot};
use super::entry::Entry;
use super::feed::Ask;
use super::kv::KvError;
use super::{Store, end_of, token};
use crate::errors::{self, Result};
use crate::request::options::{ListOptions, Match, parse_revision};
use crate::selector::Selection;

/// How long a read waits for the cache before it goes to the store, or gives up on a version from the future.
const WAIT: Duration = Duration::from_secs(3);
/// How long the watch may be silent before it is asked for its progress.
const IDLE: Duration = Duration::from_millis(3);
/// How often it is asked again.
const ASK: Duration = Duration::from_millis(100);
/// Objects fetched from the store in one piece.
const PAGE: i64 = 500;

/// What a list is about.
pub struct Query<'a> {
    /// The resource's cache.
    pub cache: &'a ResourceCache,
    /// The namespace, empty for all.
    pub namespace: &'a str,
    /// Selectors.
    pub selection: &'a Selection,
}

/// The answer of a list.
#[derive(Debug, Default)]
pub struct Listing {
    /// The objects in key order.
    pub entries: Vec<Arc<Entry>>,
    /// The list's resource version.
    pub revision: i64,
    /// The token for the next page, empty when there is none.
    pub next: String,
    /// How many more there are, where known.
    pub remaining: Option<i64>,
    /// Whether it is all that the cache has of a resource or of a namespace.
    pub whole: bool,
}

impl Store {
    /// Waits until the cache has reached a revision; `false` when it did not in time.
    pub async fn reach(&self, revision: i64, patience: Duration) -> bool {
        if self.cache.revision() >= revision {
            return true;
        }
        let mut follow = self.cache.follow();
        let deadline = Instant::now() + patience;
        let mut pause = IDLE;
        loop {
            let until = deadline.min(Instant::now() + pause);
            match tokio::time::timeout_at(until, follow.wait_for(|r| *r >= revision)).await {
                Ok(Ok(_)) => return true,
                Ok(Err(_)) => return false,
                Err(_) if Instant::now() >= deadline => return false,
                Err(_) => {
                    // a full queue means that the feed is busy with asks already
                    drop(self.asks.try_send(Ask::Progress));
                    pause = ASK;
                }
            }
        }
    }

    /// Makes the cache at least as new as the store is now; `None` when it stays behind, with the store's
    /// revision to read at instead.
    async fn consistent(&self) -> Result<std::result::Result<(), i64>> {
        let revision = self.fresh.revision().await?;
        if self.reach(revision, WAIT).await { Ok(Ok(())) } else { Ok(Err(revision)) }
    }

    /// Makes the cache not older than `version` says: empty for consistent, `0` for anything.
    pub async fn not_older(&self, version: &str) -> Result<()> {
        match parse_revision(version)? {
            None => match self.consistent().await? {
                Ok(()) => Ok(()),
                Err(_) => Err(errors::too_many_requests("storage is (re)initializing", 1)),
            },
            Some(0) => self.initialised().await,
            Some(revision) if self.reach(revision, WAIT).await => Ok(()),
            Some(revision) => Err(errors::future_revision(revision, self.cache.revision())),
        }
    }

    async fn initialised(&self) -> Result<()> {
        if self.reach(1, WAIT).await {
            return Ok(());
        }
        Err(errors::too_many_requests("storage is (re)initializing", 1))
    }

    /// One object, as new as `version` says.
    pub async fn get(&self, cache: &ResourceCache, key: &str, version: &str) -> Result<Option<Arc<Entry>>> {
        if version.is_empty()
            && let Err(revision) = self.consistent().await?
        {
            return self.get_stored(cache, key, revision).await;
        }
        if !version.is_empty() {
            self.not_older(version).await?;
        }
        Ok(cache.get(key))
    }

    /// One object as the store has it.
    pub async fn get_stored(
        &self,
        cache: &ResourceCache,
        key: &str,
        revision: i64,
    ) -> Result<Option<Arc<Entry>>> {
        let Some(row) = self.kv.get(key, revision).await? else { return Ok(None) };
        let entry = cache.resource.take_in(&row.key, &row.value, row.revision);
        entry.map(|e| Some(Arc::new(e))).map_err(errors::internal)
    }

    /// A list with its options.
    pub async fn list(&self, query: &Query<'_>, options: &ListOptions) -> Result<Listing> {
        let prefix = query.cache.resource.list_prefix(query.namespace);
        if !options.continue_token.is_empty() {
            return self.list_on(query, options, &prefix).await;
        }
        let parsed = parse_revision(&options.resource_version);
        let revision = parsed
            .map_err(|e| errors::bad_request(format!("invalid resource version: {}", e.status().message)))?;
        let exact = match (revision, options.version_match) {
            (None | Some(0), _) => None,
            (Some(r), Match::Exact) => Some(r),
            (Some(r), Match::Unset) if options.limit > 0 => Some(r),
            _ => None,
        };
        if let Some(revision) = exact {
            return self.list_exact(query, &prefix, &prefix, revision, options.limit).await;
        }
        let limit = if revision == Some(0) { 0 } else { options.limit };
        if revision.is_none()
            && let Err(revision) = self.consistent().await?
        {
            return self.list_stored(query, &prefix, &prefix, revision, limit).await;
        }
        if revision.is_some() {
            self.not_older(&options.resource_version).await?;
        }
        let snapshot = query.cache.snapshot(self.cache.revision());
        Ok(page(query, &snapshot, &prefix, &prefix, limit))
    }

    async fn list_on(&self, query: &Query<'_>, options: &ListOptions, prefix: &str) -> Result<Listing> {
        if !matches!(options.resource_version.as_str(), "" | "0") {
            return Err(errors::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let at = token::decode(&options.continue_token, prefix)?;
        if at.revision > 0 {
            let listing = self.list_exact(query, prefix, &at.start, at.revision, options.limit).await;
            return listing.map_err(|error| {
                let gone = error.is(meta::Reason::Expired);
                if gone { errors::continue_expired(&token::encode(&at.start, prefix, -1)) } else { error }
            });
        }
        // an inconsistent token: the rest of the keys, as they are now
        match self.consistent().await? {
            Ok(()) => {
                let snapshot = query.cache.snapshot(self.cache.revision());
                Ok(page(query, &snapshot, prefix, &at.start, options.limit))
            }
            Err(revision) => self.list_stored(query, prefix, &at.start, revision, options.limit).await,
        }
    }

    async fn list_exact(
        &self,
        query: &Query<'_>,
        prefix: &str,
        start: &str,
        revision: i64,
        limit: usize,
    ) -> Result<Listing> {
        if !self.cache.is_compacted(revision)
            && let Some(mut snapshot) = query.cache.at_revision(revision, self.cache.revision())
        {
            snapshot.revision = revision;
            return Ok(page(query, &snapshot, prefix, start, limit));
        }
        self.list_stored(query, prefix, start, revision, limit).await
    }

    /// The same from the store: an older revision, a restart, another server's token.
    async fn list_stored(
        &self,
        query: &Query<'_>,
        prefix: &str,
        start: &str,
        revision: i64,
        limit: usize,
    ) -> Result<Listing> {
        let end = end_of(prefix);
        let mut listing = Listing { revision, ..Listing::default() };
        let mut at = start.to_owned();
        loop {
            let wanted = if limit > 0 && query.selection.is_empty() { limit as i64 } else { PAGE };
            let page = self
                .kv
                .page(&at, &end, wanted, revision)
                .await
                .map_err(|e| stored_error(e, revision, self.cache.revision()))?;
            let mut remaining = page.count;
            for row in page.rows {
                at = format!("{}\0", row.key);
                remaining -= 1;
                let entry = query.cache.resource.take_in(&row.key, &row.value, row.revision);
                let entry = Arc::new(entry.map_err(errors::internal)?);
                if query.selection.matches(&query.cache.resource, &entry) {
                    listing.entries.push(entry);
                }
                if limit > 0 && listing.entries.len() >= limit && remaining > 0 {
                    listing.next = token::encode(&at, prefix, revision);
                    listing.remaining = query.selection.is_empty().then_some(remaining);
                    return Ok(listing);
                }
            }
            if !page.more {
                return Ok(listing);
            }
        }
    }
}

fn stored_error(error: KvError, wanted: i64, current: i64) -> errors::Error {
    match error {
        KvError::Compacted => errors::revision_expired(),
        KvError::Future => errors::future_revision(wanted, current),
        other => other.into(),
    }
}

/// One page out of a snapshot; the snapshot is kept when more pages follow.
fn page(query: &Query<'_>, snapshot: &Snapshot, prefix: &str, start: &str, limit: usize) -> Listing {
    let resource = &query.cache.resource;
    let mut listing = Listing { revision: snapshot.revision, ..Listing::default() };
    if let Some(value) = query.selection.index_value(resource) {
        let from = (Box::<str>::from(value), Arc::<str>::from(start));
        let objects = snapshot.index.range(from..).take_while(|((v, _), _)| &**v == value);
        let objects = objects.map(|((_, key), entry)| (key, entry));
        take(query, objects, prefix, limit, &mut listing);
    } else if let Some(key) = query.selection.object_key(resource, query.namespace) {
        let found = snapshot.objects.get(&*key).filter(|_| *key >= *start);
        let matching = found.filter(|e| query.selection.matches(resource, e));
        listing.entries.extend(matching.cloned());
    } else {
        take(query, range(&snapshot.objects, start), prefix, limit, &mut listing);
    }
    if !listing.next.is_empty() {
        query.cache.pin(snapshot);
    }
    listing
}

fn range<'a>(
    objects: &'a Objects,
    start: &str,
) -> impl Iterator<Item = (&'a super::entry::Key, &'a Arc<Entry>)> + use<'a> {
    objects.range(Arc::<str>::from(start)..)
}

fn take<'a>(
    query: &Query<'_>,
    objects: impl Iterator<Item = (&'a super::entry::Key, &'a Arc<Entry>)>,
    prefix: &str,
    limit: usize,
    listing: &mut Listing,
) {
    let mut objects = objects.take_while(|(key, _)| key.starts_with(prefix));
    let everything = query.selection.is_empty();
    listing.whole = everything && limit == 0;
    while let Some((key, entry)) = objects.next() {
        if !everything && !query.selection.matches(&query.cache.resource, entry) {
            continue;
        }
        listing.entries.push(entry.clone());
        if limit > 0 && listing.entries.len() >= limit {
            let rest = if everything { objects.count() } else { usize::from(objects.next().is_some()) };
            if rest > 0 {
                listing.next = token::encode(&format!("{key}\0"), prefix, listing.revision);
                listing.remaining = everything.then_some(rest as i64);
            }
            return;
        }
    }
}
