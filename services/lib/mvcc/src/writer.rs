//! The one thread that changes the store.
//!
//! Group commit without a timer: while one batch is being made durable, requests queue up; they are the next batch.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::engine::{BoxedReader, ReadJob, Shared};
use crate::{Head, Log, LogError, Opener, Plan, Refusal, Reply, Request, State, needs};

/// Requests in one batch at most: bounds how long the first of them waits for the rest.
const BATCH_MAX: usize = 1024;
/// Changes forgotten, rows trimmed between two batches: some hundred microseconds of work.
const SLICE: usize = 256;
/// Between attempts to open a log that failed.
const REOPEN_WAIT: Duration = Duration::from_millis(200);
/// The size of the log is looked at once in so many batches.
const MEASURE_TURNS: u32 = 256;
const IDLE_WAIT: Duration = Duration::from_secs(3600);
/// Between attempts at housekeeping while there is no room.
const FULL_WAIT: Duration = Duration::from_secs(1);

type ReplyTo = oneshot::Sender<Result<Reply, Refusal>>;

/// Work for the writer.
#[derive(Debug)]
pub(crate) enum Job {
    Request(Request, ReplyTo),
    /// A reader of its own for a snapshot, with the head it is of.
    Reader(oneshot::Sender<Result<(BoxedReader, Head), LogError>>),
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    opener: Opener,
    log: Box<dyn Log>,
    /// Rows nobody can read any more, to be trimmed.
    garbage: Vec<u64>,
    /// The log has housekeeping to do.
    untidy: bool,
    /// There was no room lately: housekeeping waits a moment before it tries again.
    full: bool,
    /// Turns since the log's size was looked at.
    unmeasured: u32,
    /// Where those who wait for answers run.
    runtime: Option<Handle>,
    queue: Receiver<Job>,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        opener: Opener,
        log: Box<dyn Log>,
        garbage: Vec<u64>,
        runtime: Option<Handle>,
        queue: Receiver<Job>,
    ) -> Self {
        Self { shared, opener, log, garbage, untidy: true, full: false, unmeasured: 0, runtime, queue }
    }

    /// Works until every engine handle is gone, or acknowledged writes are.
    pub(crate) fn run(mut self) {
        while let Some(jobs) = self.gather() {
            let turn = self.turn(jobs).and_then(|()| self.tend());
            if let Err(LogError::Full(error)) = &turn {
                self.note_full(&**error);
            } else if let Err(error) = turn {
                tracing::error!(error = &error as &dyn std::error::Error, "The log failed; opening it anew");
                if !self.reopen() {
                    return;
                }
            }
        }
    }

    /// Waits for work and takes all there is; `None` when nobody is left to give any.
    fn gather(&self) -> Option<Vec<Job>> {
        let mut jobs = Vec::new();
        if self.full || !self.must_tend() {
            let expiry = self.shared.state().next_expiry();
            let wait = expiry.map_or(IDLE_WAIT, |at| at.saturating_sub(self.shared.now()));
            // while there is no room, leases that should end are tried as seldom as housekeeping
            let wait = if self.full { FULL_WAIT } else { wait };
            match self.queue.recv_timeout(wait) {
                Ok(job) => jobs.push(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        while jobs.len() < BATCH_MAX {
            match self.queue.try_recv() {
                Ok(job) => jobs.push(job),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) if jobs.is_empty() => return None,
                Err(TryRecvError::Disconnected) => break,
            }
        }
        Some(jobs)
    }

    /// One batch: plan, make durable, publish, answer.
    fn turn(&mut self, jobs: Vec<Job>) -> Result<(), LogError> {
        let (mut requests, mut waiting) = (Vec::new(), Vec::new());
        for job in jobs {
            match job {
                Job::Request(request, reply) => {
                    requests.push(request);
                    waiting.push(reply);
                }
                Job::Reader(reply) => {
                    let head = self.log.head();
                    deliver(reply, self.log.reader().map(|reader| (BoxedReader(reader), head)));
                }
            }
        }
        let now = self.shared.now();
        let committed = self.values(&requests).and_then(|values| {
            let plan = self.shared.state().plan(&requests, &values, now);
            self.commit(plan, now)
        });
        match committed {
            Ok(replies) => {
                self.answer(waiting.into_iter().zip(replies).collect());
                Ok(())
            }
            Err(error) => {
                let refusal =
                    if matches!(error, LogError::Full(_)) { Refusal::NoSpace } else { Refusal::LogFailed };
                for to in waiting {
                    deliver(to, Err(refusal.clone()));
                }
                Err(error)
            }
        }
    }

    /// Hands a batch's answers over in one piece where a runtime serves them: it is woken once and not for each of
    /// them, and what it sends of them goes out together.
    fn answer(&self, answers: Vec<(ReplyTo, Result<Reply, Refusal>)>) {
        let hand_over = move || answers.into_iter().for_each(|(to, answer)| deliver(to, answer));
        match &self.runtime {
            Some(runtime) => drop(runtime.spawn(async move { hand_over() })),
            None => hand_over(),
        }
    }

    /// Writes are refused while there is no room; reads and watches go on.
    fn note_full(&mut self, error: &(dyn std::error::Error + Send + Sync + 'static)) {
        if !std::mem::replace(&mut self.full, true) {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "The disk is full; refusing writes until there is room"
            );
        }
    }

    /// The stored values that planning looks at.
    fn values(&self, requests: &[Request]) -> Result<HashMap<u64, Bytes>, LogError> {
        let ids: Vec<u64> = {
            let state = self.shared.state();
            requests.iter().flat_map(|request| needs(&state, request)).collect()
        };
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let values = self.log.reader()?.read(&ids)?;
        ids.into_iter()
            .zip(values)
            .map(|(id, value)| {
                value
                    .map(|value| (id, value))
                    .ok_or_else(|| LogError::Damaged(format!("row {id} is missing")))
            })
            .collect()
    }

    fn commit(&mut self, plan: Plan, now: Duration) -> Result<Vec<Result<Reply, Refusal>>, LogError> {
        let Plan { batch, replies, renewed } = plan;
        if batch.is_empty() && renewed.is_empty() {
            return Ok(replies);
        }
        let mut head = self.log.head();
        if !batch.is_empty() {
            head = self.log.append(head, &batch)?;
            if std::mem::take(&mut self.full) {
                tracing::info!("There is room on the disk again");
            }
            let mut cache = self.shared.cache.lock().unwrap_or_else(PoisonError::into_inner);
            for row in &batch.rows {
                cache.insert(row.version.id, &row.value);
            }
        }
        {
            let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
            state.publish(&batch, &renewed, head, now);
        }
        self.shared.published.send_if_modified(|revision| {
            let moved = *revision != head.revision;
            *revision = head.revision;
            moved
        });
        Ok(replies)
    }

    fn must_tend(&self) -> bool {
        let held = self.shared.held.load(Ordering::SeqCst) > 0;
        self.untidy || (!held && (!self.garbage.is_empty() || self.shared.state().must_forget()))
    }

    /// One slice of what compaction left to do, and of the log's own housekeeping.
    fn tend(&mut self) -> Result<(), LogError> {
        if self.shared.held.load(Ordering::SeqCst) == 0 {
            if self.garbage.len() < SLICE && self.shared.state().must_forget() {
                let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
                self.garbage.extend(state.forget(SLICE));
            }
            if !self.garbage.is_empty() {
                let rest = self.garbage.len().saturating_sub(SLICE);
                self.log.trim(&self.garbage[rest..])?;
                self.garbage.truncate(rest);
            }
        }
        let was_untidy = std::mem::replace(&mut self.untidy, self.log.tend()?);
        self.unmeasured += 1;
        if was_untidy || self.unmeasured >= MEASURE_TURNS {
            self.measure();
        }
        Ok(())
    }

    fn measure(&mut self) {
        self.unmeasured = 0;
        *self.shared.size.lock().unwrap_or_else(PoisonError::into_inner) = self.log.size();
    }

    /// Opens the log again and rebuilds everything from it, refusing requests meanwhile. False when the engine is no
    /// longer wanted, or when the log lost what was acknowledged: then going on would take revisions back.
    fn reopen(&mut self) -> bool {
        loop {
            match self.try_reopen() {
                Ok(recovered) => return recovered,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "Opening the log again");
                }
            }
            match self.queue.recv_timeout(REOPEN_WAIT) {
                Ok(Job::Request(_, reply)) => deliver(reply, Err(Refusal::LogFailed)),
                Ok(Job::Reader(reply)) => drop(reply),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn try_reopen(&mut self) -> Result<bool, LogError> {
        let mut log = (self.opener)()?;
        let (state, garbage) = State::rebuild(&mut *log, self.shared.now())?;
        let (revision, published) = (state.revision(), *self.shared.published.borrow());
        if revision < published {
            tracing::error!(revision, published, "The log lost acknowledged writes; stopping");
            return Ok(false);
        }
        if self.shared.reads.send(ReadJob::Replace(BoxedReader(log.reader()?))).is_err() {
            return Ok(false);
        }
        (self.log, self.garbage, self.untidy) = (log, garbage, true);
        // what an unknown append left behind may differ from what was cached under its ids
        self.shared.cache.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.shared.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        self.shared.published.send_replace(revision);
        tracing::info!(revision, "Opened the log anew");
        Ok(true)
    }
}

fn deliver<T>(to: oneshot::Sender<T>, answer: T) {
    if to.send(answer).is_err() {
        tracing::debug!("Nobody waits for the answer any more");
    }
}
