//! exec and attach by `v5.channel.k8s.io`: the client's channels become SPDY's streams towards the kubelet.
//!
//! The connection is opened before the kubelet is asked, so that every failure is told in the error channel.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/util/proxy/streamtranslator.go`, `websocket.go`,
//! `k8s.io/client-go/tools/remotecommand/{v2,v3,v4}.go`

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::Response;
use http_body_util::BodyExt;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use meta::Status;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use web::{Body, BoxError};

use super::spdy::{Frame, Reader, Writer};
use super::{PROTOCOL as NEGOTIATED, Streams, Target, ask, granted};
use crate::errors::{self, Error, Result};
use crate::http::websocket::{Wish, farewell};
use crate::server::Server;

/// The subprotocol that is translated.
pub(super) const PROTOCOL: &str = "v5.channel.k8s.io";
/// What is spoken to kubelets: the exit code comes as a `Status`.
const ONWARD: &str = "v4.channel.k8s.io";

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// Before a channel's number: the channel ends.
const CLOSE: u8 = 255;

/// How often the kubelet's end is shown that this one is there.
const PING: Duration = Duration::from_secs(5);
/// How long a kubelet may take to accept the streams.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest outcome a kubelet may tell.
const OUTCOME: usize = 1 << 20;

type Io = TokioIo<Upgraded>;
type Sink = SplitSink<WebSocketStream<Io>, Message>;
type Source = SplitStream<WebSocketStream<Io>>;

/// Answers with the upgrade; the rest happens after it.
pub(super) fn serve(
    server: &Arc<Server>,
    target: Target,
    streams: Streams,
    wish: Wish,
) -> Result<Response<Body>> {
    let (switch, ours) = wish.accept(Some(PROTOCOL))?;
    let server = server.clone();
    tokio::spawn(async move {
        if let Err(error) = session(&server, &target, streams, ours).await {
            tracing::debug!(error = %error, "a translated stream ended");
        }
    });
    Ok(switch)
}

fn message(channel: u8, bytes: &[u8]) -> Message {
    let mut message = BytesMut::with_capacity(1 + bytes.len());
    message.extend_from_slice(&[channel]);
    message.extend_from_slice(bytes);
    Message::binary(message.freeze())
}

async fn session(
    server: &Server,
    target: &Target,
    streams: Streams,
    ours: OnUpgrade,
) -> std::result::Result<(), BoxError> {
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(ours.await?), Role::Server, None).await;
    let (mut sink, mut source) = socket.split();
    // the client learns by a message that it is connected
    let lowest = if streams.stdout { STDOUT } else { ERROR };
    let lowest = if streams.stderr && !streams.stdout { STDERR } else { lowest };
    sink.send(message(lowest, b"")).await?;
    let outcome = match Remote::open(server, target, streams).await {
        Ok(remote) => {
            let Remote { reader, writer, numbers } = remote;
            let (orders, received) = unbounded_channel();
            tokio::select! {
                outcome = output(reader, numbers, &mut sink, orders) => outcome?,
                gone = input(&mut source, writer, numbers, received) => return gone,
            }
        }
        Err(error) => Err(errors::internal(error)),
    };
    let status = match outcome {
        Ok(said) => told(&said),
        Err(error) => *error.0,
    };
    sink.send(message(ERROR, &written(status)?)).await?;
    sink.send(farewell()).await?;
    Ok(())
}

/// A status as it stands in the error channel: without the head that answers have.
fn written(status: Status) -> serde_json::Result<Vec<u8>> {
    let mut value = serde_json::to_value(status)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    serde_json::to_vec(&value)
}

/// The streams' numbers in SPDY.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    error: u32,
    stdin: Option<u32>,
    stdout: Option<u32>,
    stderr: Option<u32>,
    resize: Option<u32>,
}

/// The connection to a kubelet with all streams open.
struct Remote {
    reader: Reader<ReadHalf<Io>>,
    writer: Writer<WriteHalf<Io>>,
    numbers: Numbers,
}

impl Remote {
    async fn open(server: &Server, target: &Target, streams: Streams) -> std::result::Result<Self, BoxError> {
        let answer = ask(server, target, &[ONWARD]).await;
        let mut answer = answer.map_err(|e| format!("error sending request: {e}"))?;
        if !granted(&answer) {
            let said = answer.into_body().collect().await?.to_bytes();
            return Err(format!("unable to upgrade connection: {}", refusal(&said)).into());
        }
        let chosen = answer.headers().get(NEGOTIATED).and_then(|value| value.to_str().ok()).unwrap_or("");
        if chosen != ONWARD {
            return Err(format!("the kubelet speaks {chosen:?} and not {ONWARD:?}").into());
        }
        let (reader, writer) = tokio::io::split(TokioIo::new(hyper::upgrade::on(&mut answer).await?));
        let mut remote =
            Self { reader: Reader::new(reader), writer: Writer::new(writer), numbers: Numbers::default() };
        tokio::time::timeout(PATIENCE, remote.streams(streams)).await.map_err(|_| "Timeout occurred")??;
        Ok(remote)
    }

    async fn streams(&mut self, wanted: Streams) -> std::result::Result<(), BoxError> {
        self.numbers.error = self.stream("error").await?;
        if wanted.stdin {
            self.numbers.stdin = Some(self.stream("stdin").await?);
        }
        if wanted.stdout {
            self.numbers.stdout = Some(self.stream("stdout").await?);
        }
        // a terminal has one output
        if wanted.stderr && !wanted.tty {
            self.numbers.stderr = Some(self.stream("stderr").await?);
        }
        if wanted.tty {
            self.numbers.resize = Some(self.stream("resize").await?);
        }
        Ok(())
    }

    /// Opens a stream and waits until it is accepted.
    async fn stream(&mut self, kind: &str) -> std::result::Result<u32, BoxError> {
        let number = self.writer.open(kind).await?;
        loop {
            match self.reader.next().await? {
                Some(Frame::Reply(accepted)) if accepted == number => return Ok(number),
                Some(Frame::Reset(_)) => return Err("Stream reset".into()),
                Some(Frame::Ping(ping)) if ping % 2 == 0 => self.writer.pong(ping).await?,
                Some(Frame::Away) | None => return Err("connection closed".into()),
                // no data comes before all streams are there
                Some(_) => {}
            }
        }
    }
}

/// Why a kubelet refused, of its answer.
///
/// # Upstream
/// `k8s.io/streaming/pkg/httpstream/spdy/roundtripper.go` `upgradeErrorMessage`
fn refusal(said: &[u8]) -> String {
    let status: serde_json::Value = serde_json::from_slice(said).unwrap_or_default(); // mostly plain text
    let field = |name: &str| status.get(name).and_then(|text| text.as_str()).unwrap_or("").trim().to_owned();
    let text = String::from_utf8_lossy(said).trim().to_owned();
    let known = [field("message"), field("error"), text].into_iter().find(|text| !text.is_empty());
    known.unwrap_or_else(|| "empty server response".to_owned())
}

/// What the receiving side asks of the sending one, which may be stuck in a pipe that is full.
enum Order {
    Pong(u32),
    EndInput,
}

/// Hands on what the process says, until all of it and its outcome are there. The outer error is the client's leaving.
async fn output(
    mut reader: Reader<ReadHalf<Io>>,
    numbers: Numbers,
    sink: &mut Sink,
    orders: UnboundedSender<Order>,
) -> std::result::Result<Result<Bytes>, BoxError> {
    let broken = |why: String| Ok(Err(errors::internal(format!("error reading from error stream: {why}"))));
    let mut open = vec![numbers.error];
    open.extend(numbers.stdout.into_iter().chain(numbers.stderr));
    let mut outcome = BytesMut::new();
    while !open.is_empty() {
        let (stream, last) = match reader.next().await {
            Ok(Some(Frame::Data { stream, bytes, last })) => {
                if stream == numbers.error {
                    outcome.extend_from_slice(&bytes);
                } else if numbers.stdout == Some(stream) && !bytes.is_empty() {
                    sink.send(message(STDOUT, &bytes)).await?;
                } else if numbers.stderr == Some(stream) && !bytes.is_empty() {
                    sink.send(message(STDERR, &bytes)).await?;
                }
                (stream, last)
            }
            Ok(Some(Frame::Reset(stream))) => (stream, true),
            Ok(Some(Frame::Ping(number))) if number % 2 == 0 => {
                orders.send(Order::Pong(number))?;
                continue;
            }
            Ok(Some(Frame::Away)) => break,
            Ok(Some(_)) => continue,
            Ok(None) if outcome.is_empty() => return broken("unexpected EOF".into()),
            Ok(None) => break,
            Err(error) => return broken(error.to_string()),
        };
        if outcome.len() > OUTCOME {
            return broken(format!("more than {OUTCOME} bytes"));
        }
        if last {
            open.retain(|number| *number != stream);
            if numbers.stdin == Some(stream) {
                orders.send(Order::EndInput)?;
            }
        }
    }
    Ok(Ok(outcome.freeze()))
}

/// What the sending side does next.
enum Step {
    Stream(u32, Bytes),
    End(u32),
    Pong(u32),
    Ping,
}

/// Hands on what the client says; ends when the client is gone.
async fn input(
    source: &mut Source,
    mut writer: Writer<WriteHalf<Io>>,
    numbers: Numbers,
    mut orders: UnboundedReceiver<Order>,
) -> std::result::Result<(), BoxError> {
    let mut stdin = numbers.stdin;
    let mut pings = tokio::time::interval_at(tokio::time::Instant::now() + PING, PING);
    // a kubelet that takes no more may still have something to say
    let mut takes = true;
    loop {
        let step = tokio::select! {
            said = source.next() => match said {
                Some(Ok(Message::Binary(bytes))) => read(bytes, stdin, numbers.resize)?,
                Some(Ok(Message::Text(text))) => read(text.into(), stdin, numbers.resize)?,
                Some(Ok(_)) => None, // the socket answers the others itself
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            },
            Some(order) = orders.recv() => match order {
                Order::Pong(number) => Some(Step::Pong(number)),
                Order::EndInput => stdin.map(Step::End),
            },
            _ = pings.tick() => Some(Step::Ping),
        };
        let Some(step) = step.filter(|_| takes) else { continue };
        let done = match step {
            Step::Stream(number, bytes) => writer.data(number, &bytes).await,
            Step::End(number) => {
                stdin = None;
                writer.end(number).await
            }
            Step::Pong(number) => writer.pong(number).await,
            Step::Ping => writer.ping().await,
        };
        if let Err(error) = done {
            tracing::debug!(error = %error, "a kubelet takes no more");
            takes = false;
        }
    }
}

/// What a client's message asks for; what nobody listens to is passed over.
fn read(
    message: Bytes,
    stdin: Option<u32>,
    resize: Option<u32>,
) -> std::result::Result<Option<Step>, BoxError> {
    Ok(match message.as_ref() {
        [CLOSE, STDIN] => stdin.map(Step::End),
        [CLOSE, STDOUT..=RESIZE] => None,
        [CLOSE, ..] => return Err("Single channel byte should follow stream close signal".into()),
        [STDIN, _, ..] => stdin.map(|number| Step::Stream(number, message.slice(1..))),
        [RESIZE, _, ..] => resize.map(|number| Step::Stream(number, message.slice(1..))),
        _ => None,
    })
}

/// What a client is told of what the kubelet said of the outcome.
fn told(said: &[u8]) -> Status {
    let failed = |why: &str| {
        let Error(status) = errors::internal(format!("error stream protocol error: {why}"));
        *status
    };
    let success = Status { status: "Success".into(), code: 0, ..Status::default() };
    if said.is_empty() {
        return success;
    }
    let status: Status = match serde_json::from_slice(said) {
        Ok(status) => status,
        Err(error) => return failed(&format!("{error} in {:?}", String::from_utf8_lossy(said))),
    };
    match (status.status.as_str(), status.reason.as_str()) {
        ("Success", _) => success,
        ("Failure", "NonZeroExitCode") => {
            let Some(details) = status.details else { return failed("details must be set") };
            let Some(cause) = details.causes.into_iter().find(|cause| cause.reason == "ExitCode") else {
                return failed("no ExitCode cause given");
            };
            match cause.message.parse::<u8>() {
                Ok(code) => exited(code),
                Err(_) => failed(&format!("invalid exit code value {:?}", cause.message)),
            }
        }
        ("Failure", _) => *errors::internal(status.message).0,
        _ => failed("unknown error"),
    }
}

fn exited(code: u8) -> Status {
    let message =
        format!("command terminated with non-zero exit code: command terminated with exit code {code}");
    let status = Status { message, reason: "NonZeroExitCode".into(), code: 0, ..Status::default() };
    status.because("ExitCode", code.to_string(), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes() {
        let exit = |code: &str| {
            format!(
                r#"{{"metadata":{{}},"status":"Failure","message":"x","reason":"NonZeroExitCode","details":{{"causes":[{{"reason":"ExitCode","message":"{code}"}}]}}}}"#
            )
        };
        let internal = |why: &str| {
            format!(
                r#"{{"code":500,"details":{{"causes":[{{"message":{why:?}}}]}},"message":{:?},"metadata":{{}},"reason":"InternalError","status":"Failure"}}"#,
                format!("Internal error occurred: {why}")
            )
        };
        let success = r#"{"metadata":{},"status":"Success"}"#.to_owned();
        let cases = [
            (String::new(), success.clone()),
            (success.clone(), success),
            (exit("3"), r#"{"details":{"causes":[{"message":"3","reason":"ExitCode"}]},"message":"command terminated with non-zero exit code: command terminated with exit code 3","metadata":{},"reason":"NonZeroExitCode","status":"Failure"}"#.to_owned()),
            (exit("300"), internal("error stream protocol error: invalid exit code value \"300\"")),
            (r#"{"status":"Failure","reason":"NonZeroExitCode"}"#.to_owned(), internal("error stream protocol error: details must be set")),
            (r#"{"status":"Failure","message":"no such file"}"#.to_owned(), internal("no such file")),
            (r#"{"status":"Maybe"}"#.to_owned(), internal("error stream protocol error: unknown error")),
        ];
        for (said, wanted) in cases {
            assert_eq!(String::from_utf8(written(told(said.as_bytes())).unwrap()).unwrap(), wanted, "{said}");
        }
    }

    #[test]
    fn channels() {
        let cases: &[(&[u8], &str)] = &[
            (b"", ""),
            (b"\0", ""),
            (b"\0ab", "3 ab"),
            (b"\x04{}", "9 {}"),
            (b"\x01x", ""),
            (b"\x07x", ""),
            (b"\xff\0", "3 ends"),
            (b"\xff\x04", ""),
            (b"\xff\x05", "refused"),
            (b"\xff", "refused"),
            (b"\xff\0\0", "refused"),
        ];
        for (said, wanted) in cases {
            let found = match read(Bytes::from_static(said), Some(3), Some(9)) {
                Ok(Some(Step::Stream(number, bytes))) => {
                    format!("{number} {}", String::from_utf8_lossy(&bytes))
                }
                Ok(Some(Step::End(number))) => format!("{number} ends"),
                Ok(_) => String::new(),
                Err(_) => "refused".to_owned(),
            };
            assert_eq!(found, *wanted, "{said:?}");
        }
        assert!(matches!(read(Bytes::from_static(b"\0ab"), None, None), Ok(None)));
    }

    #[test]
    fn refusals() {
        let cases = [
            ("container not found (\"c\")\n", "container not found (\"c\")"),
            (r#"{"message":" no "}"#, "no"),
            (r#"{"error":"e"}"#, "e"),
            ("", "empty server response"),
        ];
        for (said, wanted) in cases {
            assert_eq!(refusal(said.as_bytes()), wanted);
        }
    }
}
