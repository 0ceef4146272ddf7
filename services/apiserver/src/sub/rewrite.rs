//! Links in pages that come through a proxy: those to the page's own host go through the proxy as well.
//!
//! # Upstream
//! `k8s.io/apimachinery/pkg/util/proxy/transport.go`

use std::io::{Read, Write};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::BodyExt;
use web::Body;

use crate::errors::{self, Result};

/// Attributes that hold a link, by tag.
const LINKS: [(&str, &[&str]); 25] = [
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose content is no markup.
const RAW: [&str; 4] = ["script", "style", "textarea", "title"];

/// Where a page came from and how it is reached from outside.
#[derive(Debug, Clone)]
pub struct Links {
    /// `address:port` of who answered.
    pub source: String,
    /// The host the client asked for.
    pub host: String,
    /// The path of the proxy endpoint, before what was asked of the page's host.
    pub prefix: String,
}

impl Links {
    /// A link as the client must follow it.
    pub fn rewrite(&self, link: &str) -> String {
        let (scheme, rest) = match link.split_once("://") {
            Some((scheme, rest)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => (scheme, Some(rest)),
            _ => ("", link.strip_prefix("//")),
        };
        let (host, path) = match rest {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None => ("", link),
        };
        let other = !host.is_empty() && host != self.source && host != self.host;
        if other || !path.starts_with('/') {
            return link.to_owned();
        }
        let authority = match (scheme, host) {
            ("", host) if !host.is_empty() && host == self.host => format!("//{host}"),
            (scheme, host) if !host.is_empty() && host == self.host => format!("{scheme}://{host}"),
            _ => String::new(),
        };
        if path.starts_with(&self.prefix) {
            return format!("{authority}{path}");
        }
        format!("{authority}{}{path}", self.prefix)
    }

    /// A page with its links rewritten.
    pub fn page(&self, html: &str) -> String {
        let mut out = String::with_capacity(html.len() + 256);
        let mut rest = html;
        while let Some(start) = rest.find('<') {
            out.push_str(&rest[..start]);
            rest = &rest[start..];
            if rest.starts_with("<!--") {
                let end = rest.find("-->").map_or(rest.len(), |at| at + 3);
                out.push_str(&rest[..end]);
                rest = &rest[end..];
                continue;
            }
            let end = tag_end(rest);
            let tag = &rest[..end];
            rest = &rest[end..];
            let name = tag_name(tag);
            self.tag(tag, &name, &mut out);
            if RAW.contains(&name.as_str()) {
                let close = format!("</{name}");
                let end = rest.to_ascii_lowercase().find(&close).unwrap_or(rest.len());
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
        }
        out.push_str(rest);
        out
    }

    /// A start tag with its links rewritten; any other as it is.
    fn tag(&self, tag: &str, name: &str, out: &mut String) {
        let Some((_, links)) = LINKS.iter().find(|(tag, _)| *tag == name) else {
            out.push_str(tag);
            return;
        };
        let mut done = 0;
        for (key, value) in attributes(tag, 1 + name.len()) {
            if links.contains(&tag[key].to_ascii_lowercase().as_str()) {
                out.push_str(&tag[done..value.start]);
                out.push_str(&self.rewrite(&tag[value.clone()]));
                done = value.end;
            }
        }
        out.push_str(&tag[done..]);
    }
}

/// The length of a tag: to its `>` outside of quotes.
fn tag_end(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return at + 1,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    text.len()
}

/// A start tag's name in lower case; empty for end tags, declarations and text.
fn tag_name(tag: &str) -> String {
    tag[1..].chars().take_while(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

type Span = std::ops::Range<usize>;

/// Where the keys and values of a tag's attributes are.
fn attributes(tag: &str, from: usize) -> Vec<(Span, Span)> {
    let bytes = tag.as_bytes();
    let skip = |mut at: usize, stop: &dyn Fn(u8) -> bool| {
        while at < bytes.len() && !stop(bytes[at]) {
            at += 1;
        }
        at
    };
    let mut found = Vec::new();
    let mut at = from;
    loop {
        let start = skip(at, &|b| !b.is_ascii_whitespace() && b != b'/');
        if start >= bytes.len() || bytes[start] == b'>' {
            return found;
        }
        let end = skip(start, &|b| b.is_ascii_whitespace() || matches!(b, b'=' | b'>' | b'/'));
        let equals = skip(end, &|b| !b.is_ascii_whitespace());
        if bytes.get(equals) != Some(&b'=') {
            at = end.max(start + 1);
            continue;
        }
        let value = skip(equals + 1, &|b| !b.is_ascii_whitespace());
        let span = match bytes.get(value) {
            Some(quote @ (b'"' | b'\'')) => value + 1..skip(value + 1, &|b| b == *quote),
            _ => value..skip(value, &|b| b.is_ascii_whitespace() || b == b'>'),
        };
        at = (span.end + 1).min(bytes.len());
        found.push((start..end, span));
    }
}

/// A page's bytes with its links rewritten; `None` leaves them as they are: an unknown encoding, or no text.
fn body(links: &Links, encoding: &str, bytes: &Bytes) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let read = match encoding {
        "" => {
            plain.extend_from_slice(bytes);
            Ok(0)
        }
        "gzip" => flate2::read::GzDecoder::new(&**bytes).read_to_end(&mut plain),
        "deflate" => flate2::read::DeflateDecoder::new(&**bytes).read_to_end(&mut plain),
        _ => return None,
    };
    read.ok()?;
    let page = links.page(std::str::from_utf8(&plain).ok()?).into_bytes();
    let best = flate2::Compression::best();
    match encoding {
        "gzip" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            out.write_all(&page).ok()?;
            out.finish().ok()
        }
        "deflate" => {
            let mut out = flate2::write::DeflateEncoder::new(Vec::new(), best);
            out.write_all(&page).ok()?;
            out.finish().ok()
        }
        _ => Some(page),
    }
}

/// An answer whose links go through the proxy.
pub async fn answer(links: &Links, answer: Response<Body>) -> Result<Response<Body>> {
    let (mut parts, content) = answer.into_parts();
    if let Some(location) = parts.headers.get(header::LOCATION).and_then(|value| value.to_str().ok()) {
        let location = HeaderValue::from_str(&links.rewrite(location)).map_err(errors::internal)?;
        parts.headers.insert(header::LOCATION, location);
        return Ok(Response::from_parts(parts, content));
    }
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    if text(header::CONTENT_TYPE).split(';').next().unwrap_or("").trim() != "text/html" {
        return Ok(Response::from_parts(parts, content));
    }
    let encoding = text(header::CONTENT_ENCODING).to_owned();
    let bytes = content.collect().await.map_err(|e| errors::unavailable(e.to_string()))?.to_bytes();
    match body(links, &encoding, &bytes) {
        Some(page) => {
            parts.headers.remove(header::CONTENT_LENGTH);
            Ok(Response::from_parts(parts, web::full(page)))
        }
        None => Ok(Response::from_parts(parts, web::full(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::Links;

    #[test]
    fn links() {
        let links =
            Links { source: "10.0.0.1:80".into(), host: "api:6443".into(), prefix: "/p/proxy".into() };
        for (page, expected) in [
            (r#"<a href="/x">t</a>"#, r#"<a href="/p/proxy/x">t</a>"#),
            (r#"<a href="/x/">t</a>"#, r#"<a href="/p/proxy/x/">t</a>"#),
            (r#"<a href="x">t</a>"#, r#"<a href="x">t</a>"#),
            (r#"<A  HREF='/x' b>"#, r#"<A  HREF='/p/proxy/x' b>"#),
            (r#"<a href=/x>"#, r#"<a href=/p/proxy/x>"#),
            (r#"<a href="http://10.0.0.1:80/x?y=1">"#, r#"<a href="/p/proxy/x?y=1">"#),
            (r#"<a href="https://api:6443/x">"#, r#"<a href="https://api:6443/p/proxy/x">"#),
            (r#"<a href="https://other/x">"#, r#"<a href="https://other/x">"#),
            (r#"<a href="/p/proxy/x">"#, r#"<a href="/p/proxy/x">"#),
            (r#"<!-- <a href="/x"> -->"#, r#"<!-- <a href="/x"> -->"#),
            (r#"<script>a="<a href='/x'>"</script>"#, r#"<script>a="<a href='/x'>"</script>"#),
            (r#"<b title="/x">1 < 2"#, r#"<b title="/x">1 < 2"#),
        ] {
            assert_eq!(links.page(page), expected);
        }
    }
}
