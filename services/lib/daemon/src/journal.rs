//! Events with an error or an id as entries of the journal; all others are tracing-journald's.
//!
//! What `journalctl` shows is the message alone, so an error's whole chain is also part of that; and an entry that the
//! catalog explains has `MESSAGE_ID`. tracing-journald does neither. Other fields are written as it writes them: each is
//! one of the entry (`K3S_RS_POD`), so that `journalctl K3S_RS_POD=…` finds it.

use std::error::Error;
use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

const PREFIX: &str = "K3S_RS_";
const MESSAGE: &str = "message";
const MESSAGE_ID: &str = "message_id";
const ERROR: &str = "error";

/// Whether an event is one of ours here. Spans are: their fields go into every entry.
pub(crate) fn is_told_in_full(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() || [ERROR, MESSAGE_ID].iter().any(|name| metadata.fields().field(name).is_some())
}

/// Writes events with the fields of the spans around them.
pub(crate) struct JournalLayer {
    identifier: String,
}

impl JournalLayer {
    /// Entries carry this as their syslog identifier.
    pub(crate) fn new(identifier: String) -> Self {
        Self { identifier }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JournalLayer {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut entry = fields.entry(event.metadata(), &self.identifier);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<Fields>() {
                entry.extend(fields.named());
            }
            entry.push(format!("SPAN_NAME={}", span.name()));
        }
        // there is no other place to say it
        k3s_rs_systemd::send_to_journal(&entry).ok();
    }
}

/// The values of an event or a span.
#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// All but those that have names of the journal's own.
    fn named(&self) -> impl Iterator<Item = String> {
        let own = self.0.iter().filter(|(name, _)| *name != MESSAGE && *name != MESSAGE_ID);
        own.map(|(name, value)| format!("{PREFIX}{}={value}", upper(name)))
    }

    /// The whole entry of an event.
    fn entry(&self, metadata: &Metadata<'_>, identifier: &str) -> Vec<String> {
        let text = self.value(MESSAGE).unwrap_or_default();
        let message = match self.value(ERROR) {
            Some(error) if !error.is_empty() => format!("MESSAGE={text}: {error}"),
            _ => format!("MESSAGE={text}"),
        };
        let mut entry = vec![
            message,
            format!("PRIORITY={}", priority(*metadata.level())),
            format!("SYSLOG_IDENTIFIER={identifier}"),
            format!("TARGET={}", metadata.target()),
        ];
        entry.extend(self.value(MESSAGE_ID).map(|id| format!("MESSAGE_ID={id}")));
        entry.extend(metadata.file().map(|file| format!("CODE_FILE={file}")));
        entry.extend(metadata.line().map(|line| format!("CODE_LINE={line}")));
        entry.extend(self.named());
        entry
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.0.push((field.name(), chain(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }
}

/// An error and its causes, outermost first; one that only repeats its cause is said once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            write!(text, ": {next}").expect("writing to a String cannot fail");
        }
        cause = error.source();
    }
    text
}

/// syslog's number for a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// A name as the journal takes them: capital letters, digits, underscores.
fn upper(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("reading {0}")]
    struct Reading(&'static str, #[source] io::Error);

    /// Keeps what would be sent.
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut fields = Fields::default();
            event.record(&mut fields);
            self.0.lock().unwrap().extend(fields.entry(event.metadata(), "k3s-rs-test"));
        }
    }

    #[test]
    fn the_message_carries_the_chain() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::registry().with(Kept(Arc::clone(&kept)));
        tracing::subscriber::with_default(subscriber, || {
            let error = Reading("a.json", io::Error::other("disk gone"));
            tracing::error!(message_id = "abc", error = &error as &dyn Error, pod = "ns/name", "Stopped");
        });
        let entry = kept.lock().unwrap();
        for wanted in [
            "MESSAGE=Stopped: reading a.json: disk gone",
            "PRIORITY=3",
            "SYSLOG_IDENTIFIER=k3s-rs-test",
            "MESSAGE_ID=abc",
            "K3S_RS_ERROR=reading a.json: disk gone",
            "K3S_RS_POD=ns/name",
        ] {
            assert!(entry.iter().any(|field| field == wanted), "{wanted} is not in {entry:?}");
        }
        assert!(!entry.iter().any(|field| field.starts_with("K3S_RS_MESSAGE")));
    }

    #[test]
    fn a_cause_is_not_said_twice() {
        let inner = io::Error::other("disk gone");
        assert_eq!("disk gone", chain(&inner));
        #[derive(Debug, thiserror::Error)]
        #[error("writing: {0}")]
        struct Both(#[source] io::Error);
        assert_eq!("writing: disk gone", chain(&Both(inner)));
    }
}
