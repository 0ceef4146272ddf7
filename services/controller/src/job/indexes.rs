//! Sets of completion indexes in their text form: `0,2-5,7`.

use std::collections::BTreeSet;

/// Reads a set; what is malformed is left out.
pub(super) fn parse_indexes(text: &str) -> BTreeSet<i32> {
    let mut set = BTreeSet::new();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(from), Ok(to)) = (from.parse::<i32>(), to.parse::<i32>()) {
            set.extend(from..=to);
        }
    }
    set
}

/// Writes a set.
pub(super) fn print_indexes(set: &BTreeSet<i32>) -> String {
    let mut parts: Vec<(i32, i32)> = Vec::new();
    for number in set {
        match parts.last_mut() {
            Some((_, to)) if *to + 1 == *number => *to = *number,
            _ => parts.push((*number, *number)),
        }
    }
    let text = |(from, to): &(i32, i32)| match to - from {
        0 => from.to_string(),
        1 => format!("{from},{to}"),
        _ => format!("{from}-{to}"),
    };
    parts.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes() {
        for text in ["", "1", "1,2", "1-3", "0,2-5,7", "3,4,6-9"] {
            assert_eq!(print_indexes(&parse_indexes(text)), text);
        }
    }
}
