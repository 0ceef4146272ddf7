//! Container logs in CRI's format: `2024-01-01T00:00:00.000000000Z stdout F text`.
//!
//! # Upstream
//! `pkg/kubelet/kuberuntime/logs/logs.go`, `k8s.io/cri-client/pkg/logs`

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use jiff::Timestamp;

/// One line, or a piece of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line<'a> {
    /// As written.
    pub time: &'a str,
    /// Standard error rather than output.
    pub stderr: bool,
    /// A line too long to be written at once.
    pub partial: bool,
    /// What the container said, with its line end unless partial.
    pub text: &'a [u8],
}

/// Reads a line with its line end.
pub fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |b| *b == b' ');
    let (time, stream, tags, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let partial = tags.split(|b| *b == b':').next() == Some(b"P");
    let text = if partial { text.strip_suffix(b"\n").unwrap_or(text) } else { text };
    let time = std::str::from_utf8(time).ok()?; // not a line of this format
    Some(Line { time, stderr: stream == b"stderr", partial, text })
}

/// What is wanted of a log.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Not before.
    pub since: Option<Timestamp>,
    /// With the time in front of each line.
    pub timestamps: bool,
    /// Only output.
    pub stdout_only: bool,
    /// Only errors.
    pub stderr_only: bool,
}

impl Filter {
    /// Writes a line as wanted; `fresh` says whether it begins a line, and is kept.
    pub fn write(&self, line: &Line<'_>, fresh: &mut bool, out: &mut Vec<u8>) {
        if self.stdout_only && line.stderr || self.stderr_only && !line.stderr {
            return;
        }
        if let Some(since) = self.since
            && line.time.parse::<Timestamp>().is_ok_and(|t| t < since)
        {
            return;
        }
        if self.timestamps && *fresh {
            out.extend_from_slice(line.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.text);
        *fresh = !line.partial;
    }
}

/// Where the last `lines` lines begin.
pub fn tail_offset(file: &mut File, lines: u64) -> io::Result<u64> {
    let size = file.seek(SeekFrom::End(0))?;
    let (mut position, mut seen) = (size, 0);
    let mut block = vec![0; 16 << 10];
    if lines == 0 {
        return Ok(size);
    }
    while position > 0 {
        let length = position.min(block.len() as u64);
        position -= length;
        file.seek(SeekFrom::Start(position))?;
        let piece = &mut block[..length as usize];
        file.read_exact(piece)?;
        for (i, byte) in piece.iter().enumerate().rev() {
            // the last byte of the file ends the last line, it does not begin one
            if *byte == b'\n' && position + i as u64 + 1 != size {
                seen += 1;
                if seen == lines {
                    return Ok(position + i as u64 + 1);
                }
            }
        }
    }
    Ok(0)
}

/// The last bytes of a plain file, at most `max`.
pub fn read_tail_of_file(path: &Path, max: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let size = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(size.saturating_sub(max)))?;
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last lines of a container's log, at most `max` bytes of them; what cannot be read is said in their place.
pub fn last_lines(path: &Path, lines: u64, max: usize) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let offset = tail_offset(&mut file, lines)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => {
            let (filter, mut fresh, mut out) = (Filter::default(), true, Vec::new());
            for line in bytes.split_inclusive(|b| *b == b'\n').filter_map(parse) {
                filter.write(&line, &mut fresh, &mut out);
            }
            let start = out.len().saturating_sub(max);
            String::from_utf8_lossy(&out[start..]).into_owned()
        }
        Err(e) => format!("Error on reading termination message from logs: {e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = parse(b"2024-01-01T00:00:00.5Z stderr P part\n").unwrap();
        assert_eq!(
            (line.time, line.stderr, line.partial, line.text),
            ("2024-01-01T00:00:00.5Z", true, true, &b"part"[..])
        );
        assert_eq!(parse(b"T stdout F \n").unwrap().text, b"\n");
        assert_eq!(parse(b"garbage\n"), None);
    }
}
