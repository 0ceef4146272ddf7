//! Protobuf's wire format, as far as envelopes and lists need it.

/// Appends a varint.
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length-delimited field.
pub fn bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    varint(out, u64::from(number) << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a string field, also when it is empty, as gogo does.
pub fn string(out: &mut Vec<u8>, number: u32, value: &str) {
    bytes(out, number, value.as_bytes());
}

/// Appends a number field.
pub fn varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    varint(out, u64::from(number) << 3);
    varint(out, value);
}

/// Reads a varint from the front; `None` when it is cut or too long.
pub fn read_varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&first, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Reads the next field: number and, for length-delimited ones, its bytes. `None` at the end or when malformed.
pub fn read_field<'a>(input: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    let key = read_varint(input)?;
    let take = |input: &mut &'a [u8], n: usize| {
        let (head, rest) = input.split_at_checked(n)?;
        *input = rest;
        Some(head)
    };
    let value = match key & 7 {
        0 => {
            read_varint(input)?;
            &[][..]
        }
        1 => take(input, 8)?,
        2 => {
            let n = usize::try_from(read_varint(input)?).ok()?;
            take(input, n)?
        }
        5 => take(input, 4)?,
        _ => return None,
    };
    Some((u32::try_from(key >> 3).ok()?, value))
}
